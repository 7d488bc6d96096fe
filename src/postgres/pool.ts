import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { isNativeError } from 'node:util/types'
import pg from 'pg'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database, QueryOptions, ServerPlace, Term, Transaction } from './database.ts'
import { makeTerm } from './term.ts'

/**
 * A statement that takes longer than this is given up: a frozen server hangs, it does not fail. All of Slipway's take
 * milliseconds, and whoever calls the API must hear within seconds that the database is away.
 */
const statementLimitMs = 5_000
const connectLimitMs = 5_000

export interface Pool extends Database, ServerPlace {
  close(): Promise<void>
  /**
   * Takes this installation's place in the database for as long as the process lives: a session lock, so a dead holder's is
   * free at once. Resolves with false when another server holds it. Calls `onLost` when the session ends under us.
   */
  holdServerLock(onLost: () => void): Promise<boolean>
}

export interface Connection {
  readonly connectionString?: string
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly database?: string
}

// bigint ids stay far below 2^53.
const int8 = 20
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as unknown)) as typeof pg.types.getTypeParser,
}

export function makePool(
  connection: Connection,
  options: { logger: Logger; size: number; statementLimitMs?: number },
): Pool {
  const limitMs = options.statementLimitMs ?? statementLimitMs
  const pool = new pg.Pool({
    ...connection,
    types,
    max: options.size,
    connectionTimeoutMillis: connectLimitMs,
    query_timeout: limitMs,
    statement_timeout: limitMs,
    idle_in_transaction_session_timeout: 60_000,
    keepAlive: true,
    application_name: 'slipway',
  })
  // A connection that breaks while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', (error) => options.logger.warn('a database connection broke', { error }))

  let lock: pg.Client | null = null
  let term: Term | null = null
  let closing = false
  return {
    query: (sql, values, how) => runQuery(pool, sql, values, how),
    transaction: (work) => runTransaction(pool, work),
    async close() {
      closing = true
      await lock?.end().catch((error: unknown) => options.logger.debug('closing the server lock failed', { error }))
      await pool.end()
    },
    term() {
      if (term === null) throw placeLost()
      return term
    },
    async holdServerLock(onLost) {
      const client = new pg.Client({
        ...connection,
        connectionTimeoutMillis: connectLimitMs,
        query_timeout: statementLimitMs,
        keepAlive: true,
        application_name: 'slipway lock',
      })
      client.on('error', (error) => options.logger.warn('the server lock’s connection broke', { error }))
      await client.connect().catch(rejectAsDatabaseError)
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock(7240001) as locked')
      if (rows[0]?.locked !== true) {
        await client.end()
        return false
      }
      const isHeld = (): boolean => lock === client
      term = makeTerm({
        async confirm() {
          if (isHeld()) await client.query('select 1').catch(rejectAsDatabaseError)
          if (!isHeld()) throw placeLost()
        },
        nowMs: () => performance.now(),
        sleep: delay,
      })
      client.on('end', () => {
        lock = null
        term = null
        if (!closing) onLost()
      })
      lock = client
      return true
    },
  }
}

async function runQuery<Row extends object>(
  on: pg.Pool | pg.PoolClient,
  sql: string,
  values: readonly unknown[] = [],
  how: QueryOptions = {},
): Promise<Row[]> {
  const name = how.prepared === true ? { name: nameOf(sql) } : {}
  try {
    return (await on.query<Row>({ ...name, text: sql, values: [...values] })).rows
  } catch (error) {
    throw databaseError(error)
  }
}

const names = new Map<string, string>()

/** A prepared statement's: the same for the same text. */
function nameOf(sql: string): string {
  let name = names.get(sql)
  if (name === undefined) names.set(sql, (name = createHash('sha256').update(sql).digest('base64url')))
  return name
}

async function runTransaction<T>(pool: pg.Pool, work: (tx: Transaction) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch(rejectAsDatabaseError)
  // The pool listens to idle connections only. One that is ended between two statements is told by the next of them.
  const heard = (): void => undefined
  client.on('error', heard)
  const tx: Transaction = {
    inTransaction: true,
    query: (sql, values, how) => runQuery(client, sql, values, how),
  }
  let broken = false
  try {
    await tx.query('begin')
    const result = await work(tx)
    await tx.query('commit')
    return result
  } catch (error) {
    // One that does not answer would not answer that either: its connection is closed, and the server rolls back by itself.
    if (isDatabaseAway(error)) broken = true
    else await client.query('rollback').catch(() => (broken = true))
    throw error
  } finally {
    client.off('error', heard)
    client.release(broken)
  }
}

function rejectAsDatabaseError(error: unknown): never {
  throw databaseError(error)
}

/** Constraint violations keep their code for callers that expect them; lost connections, and those of no more use, become `unavailable`. */
function databaseError(error: unknown): unknown {
  const code = codeOf(error)
  const lost =
    code === undefined ||
    /^(?:08|57|53|25P03)/.test(code) ||
    ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT'].includes(code)
  if (isNativeError(error) && isOldPlan(error))
    return new DatabaseAway('unavailable', 'The database’s tables were changed meanwhile.', {
      hint: 'By a newer Slipway, most likely. This one goes on with a new connection.',
      cause: error,
    })
  if (!isNativeError(error) || !lost) return error
  return new DatabaseAway('unavailable', 'The database does not answer.', {
    hint: 'Sites go on serving. Slipway goes on by itself when PostgreSQL is back; its log is in the data folder.',
    cause: error,
  })
}

/** “cached plan must not change result type”: its connection has prepared it for columns of before, and would never do it again. */
const isOldPlan = (error: Error & { code?: string; routine?: string }): boolean =>
  error.code === '0A000' && error.routine === 'RevalidateCachedQuery'

function placeLost(): DatabaseAway {
  return new DatabaseAway('unavailable', 'The place of the server in the database is not held.', {
    hint: 'Slipway takes it again by itself, unless another one has it: then it ends.',
  })
}

class DatabaseAway extends SlipwayError {}

/** True when the database did not answer, or not to this connection, however the error was wrapped on its way. What the statement did is then unknown. */
export function isDatabaseAway(error: unknown): boolean {
  return error instanceof DatabaseAway || (isNativeError(error) && isDatabaseAway(error.cause))
}

function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined
}

/** True for the violation of the unique index or constraint of this name. */
export function violates(error: unknown, constraint: string): boolean {
  return codeOf(error) === '23505' && (error as { constraint?: string }).constraint === constraint
}
