export type { Database, Queryable, ServerPlace, Term, Transaction } from './database.ts'
export { migrate } from './migrate.ts'
export { type Connection, isDatabaseAway, makePool, type Pool, violates } from './pool.ts'
