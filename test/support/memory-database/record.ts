import type { MemoryDatabase } from './index.ts'

/** A statement that a database in memory has done, and what came of it. */
export interface Done {
  /** Which transaction it was in; null: by itself. */
  readonly tx: number | null
  readonly nowMs: number
  readonly sql: string
  readonly values: readonly unknown[]
  readonly rows: readonly object[] | null
  /** The constraint that it violated. */
  readonly violated: string | null
}

/** Writes down what a database does, in its order; `sql` of a transaction's end is `commit` or `rollback`. */
export function recordDatabase(database: MemoryDatabase, done: Done[]): MemoryDatabase {
  let count = 0
  const record = <Row extends object>(
    at: Pick<Done, 'tx' | 'nowMs'>,
    [sql, values = []]: [string, (readonly unknown[] | undefined)?],
    work: () => Row[] | Promise<Row[]>,
  ): Row[] | Promise<Row[]> => {
    const answer = (rows: Row[]): Row[] => {
      done.push({ ...at, sql, values, rows, violated: null })
      return rows
    }
    const fail = (error: unknown): never => {
      const { constraint } = error as { constraint?: string }
      if (constraint !== undefined) done.push({ ...at, sql, values, rows: null, violated: constraint })
      throw error
    }
    let rows: Row[] | Promise<Row[]>
    try {
      rows = work()
    } catch (error) {
      return fail(error)
    }
    return rows instanceof Promise ? rows.then(answer, fail) : answer(rows)
  }
  return {
    ...database,
    query(sql, values) {
      const { nowMs } = database.look()
      return record({ tx: null, nowMs }, [sql, values], () => database.query(sql, values))
    },
    begin() {
      const tx = database.begin()
      const at = { tx: (count += 1), nowMs: tx.nowMs }
      const end = (sql: 'commit' | 'rollback'): void => {
        done.push({ ...at, sql, values: [], rows: [], violated: null })
        tx[sql]()
      }
      return {
        nowMs: tx.nowMs,
        query: (sql, values) => record(at, [sql, values], () => tx.query(sql, values)),
        commit: () => end('commit'),
        rollback: () => end('rollback'),
      }
    },
  }
}
