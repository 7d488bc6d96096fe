/*
 * Rows with the promises of PostgreSQL's "read committed": a statement sees what is committed and what its own transaction
 * wrote, and waits for a row that another transaction has written or locked.
 */

/** One transaction, or one statement by itself. */
export interface Work {
  /** The time of its beginning, as `now()` tells it. */
  readonly nowMs: number
  /** What each row that it wrote or locked becomes when it ends. */
  readonly changes: Set<(how: 'commit' | 'rollback') => void>
  /** Takes back what the statement that is being done has written; one that has to wait takes its numbers again. */
  undo: ((why: 'waits' | 'fails') => void)[]
}

/** A row is another transaction's: the statement is undone, waits for its end, and is done again. */
export class Blocked extends Error {
  readonly by: Work
  constructor(by: Work) {
    super('blocked')
    this.by = by
  }
}

export class UniqueViolation extends Error {
  readonly code = '23505'
  readonly constraint: string
  constructor(constraint: string) {
    super(`duplicate key value violates unique constraint "${constraint}"`)
    this.constraint = constraint
  }
}

interface Version<Row> {
  committed: Row | null
  pending: { readonly row: Row | null; readonly by: Work } | null
}

/** Rows with this function's value (other than null) are unique. */
type Index<Row> = (row: Row) => string | number | null

export interface Table<Row> {
  /** The rows that this work sees and for which `where` holds, in the order in which they were made. */
  select(work: Work, where: (row: Row) => boolean): Row[]
  insert(work: Work, row: Row): Row
  /** Changes those rows and returns them as they are now. */
  update(work: Work, where: (row: Row) => boolean, set: (row: Row) => Partial<Row>): Row[]
  /** `for update`; with `skipLocked` those that others hold are passed over. */
  lock(work: Work, where: (row: Row) => boolean, options?: { skipLocked: boolean }): Row[]
  nextId(work: Work): number
}

export function makeTable<Row extends object>(indexes: Readonly<Record<string, Index<Row>>>): Table<Row> {
  let versions: Version<Row>[] = []
  let lastId = 0
  /** For each index, the rows that have, had or may have a value. */
  const holders = Object.entries(indexes).map(([name, index]) => {
    return { name, index, byKey: new Map<string | number, Set<Version<Row>>>() }
  })

  const seen = (work: Work, { committed, pending }: Version<Row>): Row | null =>
    pending !== null && pending.by === work ? pending.row : committed

  const assertFree = (work: Work, { pending }: Version<Row>): void => {
    if (pending !== null && pending.by !== work) throw new Blocked(pending.by)
  }

  const write = (work: Work, version: Version<Row>, row: Row): void => {
    assertFree(work, version)
    const before = version.pending
    version.pending = { row, by: work }
    if (before !== null) return void work.undo.push(() => (version.pending = before))
    const end = (how: 'commit' | 'rollback'): void => {
      if (how === 'commit') version.committed = version.pending?.row ?? null
      version.pending = null
      if (version.committed === null) versions = versions.filter((other) => other !== version)
    }
    work.changes.add(end)
    work.undo.push(() => {
      work.changes.delete(end)
      end('rollback')
    })
  }

  const assertUnique = (work: Work, row: Row, own: Version<Row>): void => {
    for (const { name, index, byKey } of holders) {
      const key = index(row)
      if (key === null) continue
      let others = byKey.get(key)
      if (others === undefined) byKey.set(key, (others = new Set()))
      for (const other of others) {
        if (other === own) continue
        const has = (one: Row | null | undefined): boolean => one != null && index(one) === key
        const foreign = other.pending !== null && other.pending.by !== work
        // Another one may be about to take the value, or to give it up.
        if (foreign && (has(other.committed) || has(other.pending?.row))) assertFree(work, other)
        if (has(seen(work, other))) throw new UniqueViolation(name)
      }
      others.add(own)
    }
  }

  const find = (work: Work, where: (row: Row) => boolean): [Version<Row>, Row][] => {
    const found: [Version<Row>, Row][] = []
    for (const version of versions) {
      const row = seen(work, version)
      if (row !== null && where(row)) found.push([version, row])
    }
    return found
  }

  return {
    select: (work, where) => find(work, where).map(([, row]) => row),
    insert(work, row) {
      const version: Version<Row> = { committed: null, pending: null }
      assertUnique(work, row, version)
      versions.push(version)
      write(work, version, row)
      return row
    },
    update(work, where, set) {
      return find(work, where).map(([version, row]) => {
        assertFree(work, version)
        const changed = { ...row, ...set(row) }
        assertUnique(work, changed, version)
        write(work, version, changed)
        return changed
      })
    },
    lock(work, where, { skipLocked } = { skipLocked: false }) {
      const free = ([version]: [Version<Row>, Row]): boolean =>
        version.pending === null || version.pending.by === work || !skipLocked
      return find(work, where)
        .filter(free)
        .map(([version, row]) => {
          write(work, version, row)
          return row
        })
    },
    nextId(work) {
      work.undo.push((why) => (why === 'waits' ? (lastId -= 1) : undefined))
      return (lastId += 1)
    },
  }
}
