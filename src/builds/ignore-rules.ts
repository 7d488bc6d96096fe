import { SlipwayError } from '../kernel/errors.ts'

/*
 * `.dockerignore`, as Docker documents it. Patterns are matched without regular expressions, because anybody may push one
 * that keeps those busy for hours; the work for a path is bounded by its length times the length of the patterns.
 */

export interface IgnoreRules {
  /** Whether a path (relative, `/` between its parts, no slash at the end) stays out of the context. */
  ignores(path: string): boolean
}

interface Rule {
  readonly negated: boolean
  readonly tokens: readonly Token[]
  /** The text before the first wildcard; most paths differ in it. */
  readonly prefix: string
  readonly literal: boolean
}

type Token =
  | { readonly kind: 'char'; readonly char: string }
  /** `?` */
  | { readonly kind: 'one' }
  /** `*`: anything but a slash. */
  | { readonly kind: 'star' }
  /** A closing `**`: anything. */
  | { readonly kind: 'all' }
  /** `**` before something: nothing, or anything that ends in a slash. */
  | { readonly kind: 'folders' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] }

const limits = { rules: 1000, work: 20_000_000 }

export function readIgnoreRules(text: string): IgnoreRules {
  const rules = text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .flatMap((line, i) => readRule(line, i + 1) ?? [])
  if (rules.length > limits.rules) throw ignoreError(`more than ${limits.rules} rules`)
  const weight = rules.reduce((sum, rule) => sum + (rule.literal ? 1 : rule.tokens.length), 0)
  return {
    ignores(path) {
      if (path.length * weight > limits.work)
        throw ignoreError('its rules are too many for the long paths of the commit')
      // The last rule that matches decides.
      const last = rules.findLast((rule) => matches(rule, path))
      return last !== undefined && !last.negated
    },
  }
}

function readRule(line: string, number: number): Rule | null {
  if (line.startsWith('#')) return null
  let pattern = line.trim()
  const negated = pattern.startsWith('!')
  if (negated) pattern = pattern.slice(1).trim()
  pattern = cleanPath(pattern)
  // `.` (and `/`) mean the whole context, which Docker never leaves out.
  if (pattern === '' || pattern === '.') return null
  const tokens = readTokens(pattern, number)
  const firstWild = tokens.findIndex((token) => token.kind !== 'char')
  const prefix = tokens
    .slice(0, firstWild === -1 ? undefined : firstWild)
    .map((token) => (token.kind === 'char' ? token.char : ''))
    .join('')
  return { negated, tokens, prefix, literal: firstWild === -1 }
}

/** Go's filepath.Clean, and no slash at the beginning. */
function cleanPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    // A way out of the context stays in, and so matches nothing.
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else parts.push(part)
  }
  return parts.join('/')
}

function readTokens(pattern: string, line: number): Token[] {
  const tokens: Token[] = []
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i)
    if (char === '*' && pattern[i + 1] === '*') {
      i += 1
      while (pattern[i + 1] === '*') i += 1
      if (pattern[i + 1] === '/') i += 1
      tokens.push({ kind: i + 1 >= pattern.length ? 'all' : 'folders' })
    } else if (char === '*') tokens.push({ kind: 'star' })
    else if (char === '?') tokens.push({ kind: 'one' })
    else if (char === '[') {
      const read = readClass(pattern, i, line)
      tokens.push(read.token)
      i = read.end
    } else if (char === '\\' && i + 1 < pattern.length) tokens.push({ kind: 'char', char: pattern.charAt(++i) })
    else tokens.push({ kind: 'char', char })
  }
  return tokens
}

/** `[a-z]`, `[^x]`, `\` before a character that stands for itself. */
function readClass(pattern: string, start: number, line: number): { token: Token; end: number } {
  const ranges: [string, string][] = []
  let i = start + 1
  const negated = pattern[i] === '^'
  if (negated) i += 1
  const next = (): string => {
    if (pattern[i] === '\\') i += 1
    return pattern.charAt(i++)
  }
  while (i < pattern.length && (pattern[i] !== ']' || ranges.length === 0)) {
    const from = next()
    if (pattern[i] === '-' && pattern[i + 1] !== ']' && i + 1 < pattern.length) {
      i += 1
      ranges.push([from, next()])
    } else ranges.push([from, from])
  }
  if (pattern[i] !== ']') throw ignoreError(`line ${line}: a [ without its ]`)
  return { token: { kind: 'class', negated, ranges }, end: i }
}

/** True when the pattern matches the path or one of the folders that it lies in. */
function matches(rule: Rule, path: string): boolean {
  if (!path.startsWith(rule.prefix)) return false
  if (rule.literal) return path.length === rule.prefix.length || path[rule.prefix.length] === '/'
  return matchesTokens(rule.tokens, path)
}

/** All ways through the pattern at once: `now[i]` says that what was read so far may be followed by token i. */
function matchesTokens(tokens: readonly Token[], path: string): boolean {
  const end = tokens.length
  let now = new Uint8Array(end + 1)
  let then = new Uint8Array(end + 1)
  /** Also marks what follows when a token may stand for nothing. */
  const mark = (states: Uint8Array, from: number): void => {
    for (let i = from; ; i++) {
      states[i] = 1
      const kind = tokens[i]?.kind
      if (kind !== 'star' && kind !== 'all' && kind !== 'folders') return
    }
  }
  mark(now, 0)
  for (let at = 0; at < path.length; at++) {
    const char = path.charAt(at)
    if (char === '/' && now[end] === 1) return true
    then.fill(0)
    for (let i = 0; i < end; i++) {
      const token = tokens[i]
      if (now[i] === 0 || token === undefined) continue
      if (token.kind === 'all' || (token.kind === 'star' && char !== '/')) mark(then, i)
      else if (token.kind === 'folders') {
        then[i] = then[i] || 2
        if (char === '/') mark(then, i + 1)
      } else if (token.kind !== 'star' && takes(token, char)) mark(then, i + 1)
    }
    ;[now, then] = [then, now]
  }
  return now[end] === 1
}

function takes(token: Token, char: string): boolean {
  if (token.kind === 'char') return token.char === char
  if (char === '/') return false
  if (token.kind === 'one') return true
  if (token.kind !== 'class') return false
  return token.ranges.some(([from, to]) => from <= char && char <= to) !== token.negated
}

function ignoreError(text: string): SlipwayError {
  return new SlipwayError('build_failed', `The .dockerignore cannot be used: ${text}.`, {
    hint: 'Correct it and push again.',
  })
}
