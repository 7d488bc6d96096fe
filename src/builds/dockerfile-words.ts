/*
 * The small shell language of Dockerfiles: words, quotes, flags and variables.
 */

/** Variables by name; undefined: declared without a value, or not declared. */
export type Values = ReadonlyMap<string, string | undefined>

export interface Expanded {
  readonly text: string
  /** Variables that were needed and have no value. */
  readonly missing: readonly string[]
  /** A form that is not known here, such as `${X#pattern}`. */
  readonly unknown: string | null
}

/** Puts values in and takes quotes away, as the engine does for the image of a FROM. */
export function expandWord(word: string, values: Values, escape: string): Expanded {
  const missing: string[] = []
  let unknown: string | null = null
  let text = ''
  let quote = ''
  for (let i = 0; i < word.length; i++) {
    const char = word.charAt(i)
    if (quote === "'" ? char === "'" : quote === '"' && char === '"') quote = ''
    else if (quote === '' && (char === '"' || char === "'")) quote = char
    else if (quote !== "'" && char === escape && i + 1 < word.length) text += word.charAt(++i)
    else if (quote !== "'" && char === '$') {
      const variable = readVariable(word, i)
      if (variable === null) {
        unknown ??= word.slice(i)
        break
      }
      const value = valueOf(variable, values, escape)
      if (value === undefined) missing.push(variable.name)
      else {
        text += value.text
        missing.push(...value.missing)
        unknown ??= value.unknown
      }
      i = variable.end - 1
    } else text += char
  }
  return { text, missing, unknown }
}

interface Variable {
  readonly name: string
  /** `:-`, `:+`, `-`, `+` or ''. */
  readonly modifier: string
  readonly word: string
  /** Index behind it. */
  readonly end: number
}

function readVariable(word: string, at: number): Variable | null {
  const [bare, bareName] = /^\$([A-Za-z_][A-Za-z0-9_]*)/.exec(word.slice(at)) ?? []
  if (bare !== undefined && bareName !== undefined) {
    return { name: bareName, modifier: '', word: '', end: at + bare.length }
  }
  const [start, name, modifier] = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+])?/.exec(word.slice(at)) ?? []
  if (start === undefined || name === undefined) return null
  const end = closingBrace(word, at + start.length)
  if (end === -1 || (modifier === undefined && end !== at + start.length)) return null
  return { name, modifier: modifier ?? '', word: word.slice(at + start.length, end), end: end + 1 }
}

function closingBrace(word: string, from: number): number {
  let depth = 0
  for (let i = from; i < word.length; i++) {
    if (word.startsWith('${', i)) depth += 1
    else if (word[i] === '}' && depth-- === 0) return i
  }
  return -1
}

function valueOf(variable: Variable, values: Values, escape: string): Expanded | undefined {
  const value = values.get(variable.name)
  const usable = variable.modifier.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
  const inner = (): Expanded => expandWord(variable.word, values, escape)
  if (variable.modifier.endsWith('-')) return usable ? { text: value ?? '', missing: [], unknown: null } : inner()
  if (variable.modifier.endsWith('+')) return usable ? inner() : { text: '', missing: [], unknown: null }
  return value === undefined ? undefined : { text: value, missing: [], unknown: null }
}

/** Cuts at white space outside quotes; quotes stay in the words. */
export function splitWords(text: string, escape: string): string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (quote === '' && (char === ' ' || char === '\t')) {
      if (word !== '') words.push(word)
      word = ''
      continue
    }
    word += char
    if (char === escape && quote !== "'" && i + 1 < text.length) word += text.charAt(++i)
    else if (quote === '' && (char === '"' || char === "'")) quote = char
    else if (char === quote) quote = ''
  }
  if (word !== '') words.push(word)
  return words
}

export interface Flag {
  readonly name: string
  readonly value: string
}

/**
 * The `--name=value` words that an instruction begins with. null when one is written in a way (quotes, escapes, a lone `--`)
 * that builders read differently.
 */
export function readFlags(rest: string): { flags: Flag[]; rest: string } | null {
  const flags: Flag[] = []
  let left = rest
  for (;;) {
    left = left.replace(/^[ \t]+/, '')
    if (!left.startsWith('--')) return { flags, rest: left }
    const [word = '', name, value = ''] =
      /^--([a-z][a-z-]*)(?:=([\x21\x23-\x26\x28-\x5b\x5d-\x7e]*))?(?=[ \t]|$)/.exec(left) ?? []
    if (name === undefined) return null
    flags.push({ name, value })
    left = left.slice(word.length)
  }
}
