import type { Work } from './table.ts'
import type { Tables } from './tables.ts'

/** What a statement is given, as the driver gets it; the first is `$1`. Each says itself what it takes them for. */
export type Args = readonly [
  ...[never, never, never, never, never, never, never, never],
  ...[never, never, never, never, never, never, never],
]

/** Whether a row has what the statement's text asks for at `{name}`. */
export type Asks = (name: string) => (row: object) => boolean

/** What a statement does, and the rows that it answers. */
export type Statement = (t: Tables, work: Work, args: Args, asks: Asks) => object[]

/**
 * Statements by the words that only they have; for `{name}` any condition may stand, which is read from the text and done.
 * What a statement really says is compared with PostgreSQL's answers in test/integration/memory-database.test.ts: one that
 * changes is found there.
 */
export type Statements = Readonly<Record<string, Statement>>

export const at = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))

/** Of a row that is there for certain. */
export const one = <Row>(rows: readonly Row[]): Row => {
  const [row] = rows
  if (row === undefined) throw new Error('there is no such row')
  return row
}
