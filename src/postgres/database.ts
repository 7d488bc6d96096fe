/** What modules know of PostgreSQL: parameterised SQL, transactions, notifications. Implemented by `pool.ts`. */
export interface Queryable {
  /** Rows as the driver gives them; map them in the module's `store.ts`. bigint columns come as number. */
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>
}

export interface Transaction extends Queryable {
  readonly inTransaction: true
}

export interface Database extends Queryable {
  /** Runs `work` in a transaction: commits when it resolves, rolls back when it throws. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
}
