/** What modules know of PostgreSQL: parameterised SQL, transactions, notifications. Implemented by `pool.ts`. */
export interface Queryable {
  /** Rows as the driver gives them; map them in the module's `store.ts`. bigint columns come as number. */
  query<Row extends object>(sql: string, values?: readonly unknown[], how?: QueryOptions): Promise<Row[]>
}

export interface QueryOptions {
  /**
   * Planned once for each connection instead of each time. For what is asked at every step of a deploy, joins much and finds
   * its rows by their keys: there planning takes ten times as long as the rest (measured: a deploy with all that belongs to
   * it in 0.4 ms instead of 4). A plan that was made while tables were small is kept until PostgreSQL has looked at them anew
   * (autovacuum, within about a minute): not for what reads much.
   */
  readonly prepared?: boolean
}

/** As the last argument of `query`. */
export const prepared: QueryOptions = { prepared: true }

export interface Transaction extends Queryable {
  readonly inTransaction: true
}

export interface Database extends Queryable {
  /** Runs `work` in a transaction: commits when it resolves, rolls back when it throws. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
}

/** The place of the one server that works with a database. */
export interface ServerPlace {
  /** The time for which it is held now: until the session ends that holds it. Throws as if the database were away when none does. */
  term(): Term
}

/**
 * Awaited before each effect that a second server could get in the way of: throws, as if the database were away, when the place was
 * lost since the term was asked for. Costs nothing within a second of the last answer.
 */
export type Term = () => Promise<void>
