import { buildStatements } from './build-statements.ts'
import { deployStatements } from './deploy-statements.ts'
import { instanceStatements } from './instance-statements.ts'
import { lineStatements, logStatements } from './line-statements.ts'
import { compileCondition, type Condition } from './conditions.ts'
import type { Args, Asks, Statement } from './statements.ts'
import { Blocked, type Work } from './table.ts'
import { makeTables, type Tables } from './tables.ts'

/**
 * The part of PostgreSQL that deploys and builds stand on, in memory: their statements, transactions that roll back, rows that
 * one transaction holds and others wait for, unique indexes. It is fast and its clock is the caller's.
 */
export interface MemoryDatabase {
  readonly tables: Tables
  /** One statement by itself. */
  query: Query
  begin(): OpenTransaction
  /** A look at what is committed. */
  look(): Work
}

/** Answers at once, or throws, unless it waits for another transaction: many statements are done here, and few wait. */
export type Query = <Row extends object>(sql: string, values?: readonly unknown[]) => Row[] | Promise<Row[]>

export interface OpenTransaction {
  readonly nowMs: number
  query: Query
  commit(): void
  /** Safe to repeat. */
  rollback(): void
}

interface Wait {
  readonly nowMs: () => number
  /** Rejects when a statement has waited too long for another transaction; called once for each wait. */
  readonly limit?: (waited: Promise<void>) => Promise<void>
}

export function makeMemoryDatabase({ nowMs, limit = (waited) => waited }: Wait): MemoryDatabase {
  const tables = makeTables()
  const ends = new Map<Work, { readonly ended: Promise<void>; readonly end: () => void }>()

  const begin = (): Work => {
    const work: Work = { nowMs: nowMs(), changes: new Set(), undo: [] }
    return work
  }
  const finish = (work: Work, how: 'commit' | 'rollback'): void => {
    for (const change of work.changes) change(how)
    work.changes.clear()
    ends.get(work)?.end()
    ends.delete(work)
  }
  const endOf = (work: Work): Promise<void> => {
    let known = ends.get(work)
    if (known === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      ends.set(work, (known = { ended: promise, end: resolve }))
    }
    return known.ended
  }
  const attempt = <Row>({ statement, conditions }: Found, work: Work, values: readonly unknown[]): Row[] | Blocked => {
    work.undo = []
    const asks: Asks = (name) => {
      const condition = conditions[name] as Condition
      return (row) => condition(row, values, work.nowMs) === true
    }
    try {
      return statement(tables, work, values as unknown as Args, asks) as Row[]
    } catch (error) {
      const isBlocked = error instanceof Blocked
      for (const undo of work.undo.toReversed()) undo(isBlocked ? 'waits' : 'fails')
      if (isBlocked) return error
      throw error
    }
  }
  const attemptAgain = async <Row>(first: Blocked, again: () => Row[] | Blocked): Promise<Row[]> => {
    for (let blocked = first; ; ) {
      await limit(endOf(blocked.by))
      const answer = again()
      if (!(answer instanceof Blocked)) return answer
      blocked = answer
    }
  }

  return {
    tables,
    look: begin,
    query<Row extends object>(sql: string, values: readonly unknown[] = []) {
      const statement = findStatement(sql)
      const alone = (): Row[] | Blocked => {
        const work = begin()
        let how: 'commit' | 'rollback' = 'rollback'
        try {
          const answer = attempt<Row>(statement, work, values)
          if (!(answer instanceof Blocked)) how = 'commit'
          return answer
        } finally {
          finish(work, how)
        }
      }
      const answer = alone()
      return answer instanceof Blocked ? attemptAgain(answer, alone) : answer
    },
    begin() {
      const work = begin()
      let isOver = false
      const end = (how: 'commit' | 'rollback'): void => {
        if (!isOver) finish(work, how)
        isOver = true
      }
      return {
        nowMs: work.nowMs,
        query<Row extends object>(sql: string, values: readonly unknown[] = []) {
          const statement = findStatement(sql)
          const inside = (): Row[] | Blocked => {
            if (isOver) throw new Error('the transaction is over')
            return attempt<Row>(statement, work, values)
          }
          const answer = inside()
          return answer instanceof Blocked ? attemptAgain(answer, inside) : answer
        },
        commit: () => end('commit'),
        rollback: () => end('rollback'),
      }
    },
  }
}

const all: [string, Statement][] = [
  ...Object.entries(deployStatements),
  ...Object.entries(lineStatements),
  ...Object.entries(logStatements),
  ...Object.entries(buildStatements),
  ...Object.entries(instanceStatements),
]
interface Found {
  readonly words: string
  readonly statement: Statement
  readonly conditions: Readonly<Record<string, Condition>>
}

/** By their text. */
const found = new Map<string, Found>()

/** The words by which each statement is known. */
export const allStatements: readonly string[] = all.map(([words]) => words)

export const wordsOf = (sql: string): string => findStatement(sql).words

function findStatement(sql: string): Found {
  const known = found.get(sql)
  if (known !== undefined) return known
  const text = sql
    .replaceAll(/--[^\n]*/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
  const fitting = all.flatMap(([words, statement]) => {
    const match = patternOf(words).exec(text)
    return match === null ? [] : [{ words, statement, asked: match.groups ?? {} }]
  })
  const [first] = fitting
  if (first === undefined || fitting.length > 1) {
    throw new Error(`the database in memory knows ${fitting.length} statements like this one: ${text}`)
  }
  const { words, statement, asked } = first
  const conditions = Object.fromEntries(Object.entries(asked).map(([name, said]) => [name, compileCondition(said)]))
  const made = { words, statement, conditions }
  found.set(sql, made)
  return made
}

/** `$` at the end: the statement ends there. */
function patternOf(words: string): RegExp {
  const isWhole = words.endsWith('$')
  const parts = (isWhole ? words.slice(0, -1) : words).split(/\{(\w+)\}/)
  const source = parts
    .map((part, i) => (i % 2 === 1 ? `(?<${part}>.+?)` : part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
    .join('')
  return new RegExp(isWhole ? `${source}$` : source)
}
