/*
 * Files of variables (.env). There are libraries, and none gives back what was written, byte for byte: `dotenv` and Node's own
 * `util.parseEnv` know no escape for a quote, so that a value with all three kinds of quotes cannot be written, and `dotenv` turns
 * CR LF into LF. What is read here is what those read in files that people write by hand.
 *
 *   NAME=value            up to the line's end or a “ #”, without the spaces around it
 *   NAME='value'          as it is, over several lines too; also with `
 *   NAME="value"          the same, with \n \r \t \\ \" \$ as escapes
 *
 * `export ` before the name and lines that begin with # are passed over; `$` stands for itself everywhere.
 */

export interface Pair {
  readonly name: string
  readonly value: string
}

/** A line that is none of these. */
export class DotenvError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

const start = /[ \t]*(?:export[ \t]+)?([^\s=#'"`]+)[ \t]*=[ \t]*/y
const restOfLine = /[^\n]*/y
const afterQuote = /[ \t]*(?:#[^\n]*|\r)?(?=\n|$)/y
const nothing = /[ \t]*(?:#[^\n]*|\r)?(?:\n|$)/y

/** The variables of a file in their order; of a name that comes twice the last counts. Throws `DotenvError`. */
export function parseDotenv(file: string): Pair[] {
  const text = file.startsWith('\ufeff') ? file.slice(1) : file
  const found = new Map<string, string>()
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  const fail = (message: string): never => {
    throw new DotenvError(text.slice(0, at).split('\n').length, message)
  }
  while (at < text.length) {
    if (take(nothing) !== null) continue
    const [, name = ''] = take(start) ?? fail('is not NAME=value')
    const quote = /['"`]/.exec(text[at] ?? '')?.[0]
    if (quote === undefined) found.set(name, unquoted(take(restOfLine)?.[0] ?? ''))
    else {
      const end = endOfQuoted(text, at + 1, quote)
      if (end === -1) fail(`has a ${quote} that is never closed`)
      const inner = text.slice(at + 1, end)
      at = end + 1
      if (take(afterQuote) === null) fail(`has something behind the closing ${quote}`)
      found.set(name, quote === '"' ? unescape(inner) : inner)
    }
    if (text[at] === '\n') at += 1
  }
  return [...found].map(([name, value]) => ({ name, value }))
}

/** Without the comment behind it. */
function unquoted(text: string): string {
  const value = text.startsWith('#') ? '' : text.replace(/[ \t]#.*$/s, '')
  let end = value.length
  // Not by a pattern: those look at a long row of spaces again from each of them.
  while (end > 0 && ' \t\r'.includes(value[end - 1] ?? 'x')) end -= 1
  return value.slice(0, end)
}

function endOfQuoted(text: string, from: number, quote: string): number {
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === quote) return i
    if (text[i] === '\\' && quote === '"') i += 1
  }
  return -1
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"', $: '$' }

/** What is no escape stays as it is. */
function unescape(text: string): string {
  return text.replace(/\\([\s\S])/g, (all, char: string) => escapes[char] ?? all)
}

/** A line (or lines) that `parseDotenv` reads as the same value; simple ones as every other program reads them, too. */
export function writeDotenv({ name, value }: Pair): string {
  if (/^[A-Za-z0-9_./:@%+,-]*$/.test(value)) return `${name}=${value}`
  if (!/['\r]/.test(value)) return `${name}='${value}'`
  const names: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\\': '\\\\', '"': '\\"', $: '\\$' }
  return `${name}="${value.replace(/[\n\r\\"$]/g, (char) => names[char] ?? char)}"`
}
