/*
 * What a statement asks of a row, read from its text and really done: conditions as `id = $1 and state in ('waiting', 'running')
 * and not (error_code is null)`, with SQL's third truth value, null.
 */

export type Row = Readonly<Record<string, unknown>>

interface Asked {
  readonly row: Row
  readonly args: readonly unknown[]
  readonly nowMs: number
}

type Expression = (asked: Asked) => unknown
/** The value of an expression for a row. */
export type Condition = (row: object, args: readonly unknown[], nowMs: number) => unknown

const word = /\s*('(?:[^']|'')*'|\$\d+|\d+|[a-z_][a-z_0-9.]*|<>|<=|>=|::[a-z]+(?:\[\])?|[=<>(),])/y

export function compileCondition(text: string): Condition {
  const tokens = split(text)
  const read = makeReader(tokens)
  const expression = read()
  if (tokens.length > 0) throw new Error(`not understood from “${tokens.join(' ')}” on: ${text}`)
  return (row, args, nowMs) => expression({ row: row as Row, args, nowMs })
}

function split(text: string): string[] {
  const tokens: string[] = []
  const pattern = new RegExp(word)
  while (pattern.lastIndex < text.trimEnd().length) {
    const at = pattern.lastIndex
    const found = pattern.exec(text)
    if (found === null) throw new Error(`not understood from “${text.slice(at)}” on: ${text}`)
    // A cast changes nothing here.
    if (found[1]?.startsWith('::') !== true) tokens.push(found[1] as string)
  }
  return tokens
}

/** Reads from the front of `tokens`, and takes off what it has read. */
function makeReader(tokens: string[]): () => Expression {
  const takes = (...words: readonly string[]): boolean => {
    if (words.some((each, i) => tokens[i] !== each)) return false
    tokens.splice(0, words.length)
    return true
  }
  const need = (each: string): void => {
    if (!takes(each)) throw new Error(`“${each}” is missing before “${tokens.join(' ')}”`)
  }
  const list = (): Expression[] => {
    const items: Expression[] = []
    need('(')
    while (!takes(')')) {
      items.push(either())
      takes(',')
    }
    return items
  }

  const either = (): Expression => {
    const parts = [both()]
    while (takes('or')) parts.push(both())
    return joined(parts, true)
  }
  const both = (): Expression => {
    const parts = [negated()]
    while (takes('and')) parts.push(negated())
    return joined(parts, false)
  }
  const negated = (): Expression => {
    if (!takes('not')) return compared()
    const inner = negated()
    return (asked) => not(inner(asked))
  }
  const compared = (): Expression => {
    const left = primary()
    if (takes('is', 'null')) return (asked) => left(asked) === null
    if (takes('is', 'not', 'null')) return (asked) => left(asked) !== null
    if (takes('is', 'distinct', 'from')) return pair(left, primary(), (a, b) => a !== b)
    if (takes('is', 'not', 'distinct', 'from')) return pair(left, primary(), (a, b) => a === b)
    if (takes('in')) {
      const items = list()
      return (asked) => items.some((item) => item(asked) === left(asked))
    }
    if (takes('=', 'any')) return pair(left, primary(), (a, b) => (b as unknown[]).includes(a))
    if (takes('<>', 'all')) return pair(left, primary(), (a, b) => !(b as unknown[]).includes(a))
    for (const [operator, compare] of Object.entries(comparisons)) {
      if (takes(operator))
        return pair(left, primary(), (a, b) => (a === null || b === null ? null : compare(a as number, b as number)))
    }
    return left
  }
  const primary = (): Expression => {
    if (takes('(')) {
      const inner = either()
      need(')')
      return inner
    }
    if (takes('now', '(', ')')) return ({ nowMs }) => nowMs
    if (takes('coalesce')) {
      const items = list()
      return (asked) => items.map((item) => item(asked)).find((value) => value !== null) ?? null
    }
    return atom(tokens.shift() ?? '')
  }
  return either
}

const comparisons: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '=': (a, b) => a === b,
  '<>': (a, b) => a !== b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
}

function atom(token: string): Expression {
  const constants: Readonly<Record<string, unknown>> = {
    true: true,
    false: false,
    null: null,
    "'-infinity'": -Infinity,
  }
  if (token in constants) return () => constants[token]
  if (token.startsWith("'")) return () => token.slice(1, -1).replaceAll("''", "'")
  if (token.startsWith('$')) return ({ args }) => args[Number(token.slice(1)) - 1] ?? null
  if (/^\d+$/.test(token)) return () => Number(token)
  if (!/^[a-z_]/.test(token)) throw new Error(`“${token}” is no value`)
  const column = token.slice(token.indexOf('.') + 1)
  return ({ row }) => {
    if (!(column in row)) throw new Error(`there is no column ${token}`)
    return row[column]
  }
}

const not = (value: unknown): boolean | null => (value === null ? null : value !== true)

const pair =
  (left: Expression, right: Expression, compare: (a: unknown, b: unknown) => boolean | null): Expression =>
  (asked) =>
    compare(left(asked), right(asked))

/** `or` is decided by what is true, `and` by what is false; what is unknown decides nothing. */
function joined(parts: readonly Expression[], decides: boolean): Expression {
  const [only] = parts
  if (only !== undefined && parts.length === 1) return only
  return (asked) => {
    let isUnknown = false
    for (const part of parts) {
      const value = part(asked)
      if (value === decides) return decides
      if (value === null) isUnknown = true
    }
    return isUnknown ? null : !decides
  }
}
