import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { allStatements, wordsOf } from '../support/memory-database/index.ts'
import { type Done, recordDatabase } from '../support/memory-database/record.ts'
import { findDatabaseAway, runSchedules } from '../support/schedules/run.ts'

/*
 * The database in memory on which the schedules run promises what PostgreSQL does. Here every statement of some schedules is
 * done again by PostgreSQL, in the same order, in the same transactions and at the same times, and the answers are compared.
 */

/** Some statements are needed in one of a thousand schedules. */
const mostSchedules = 10_000

const int8 = 20
const types = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as unknown)) as typeof pg.types.getTypeParser,
}

let database: TestDatabase
const clients: pg.Client[] = []

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ ...database.connection, types, statement_timeout: 5_000 })
  await client.connect()
  await client.query('set search_path = fake, public, pg_catalog')
  clients.push(client)
  return client
}

beforeAll(async () => {
  database = await createTestDatabase()
  const client = new pg.Client(database.connection)
  await client.connect()
  // Time is the schedule's.
  await client.query(`
    create schema fake;
    create function fake.now() returns timestamptz language sql stable as
      $$ select pg_catalog.to_timestamp(pg_catalog.current_setting('fake.now')::bigint / 1000.0) $$;
    do $$ declare c record; begin
      for c in select table_name, column_name from information_schema.columns
        where table_schema = 'public' and column_default = 'now()'
      loop execute format('alter table public.%I alter column %I set default fake.now()', c.table_name, c.column_name);
      end loop;
    end $$`)
  await client.end()
})
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()))
  await database.drop()
})

describe('the database in memory', () => {
  it('answers every statement of the queue, the runner and the builds as PostgreSQL does', async () => {
    const used = new Set<string | undefined>()
    const main = await connect()
    const free: pg.Client[] = []
    const databaseAway = await findDatabaseAway()
    // Only schedules in which something is used for the first time; one that is not used at all would not be compared.
    for (let seed = 1; used.size < allStatements.length && seed <= mostSchedules; seed += 1) {
      const done: Done[] = []
      let environments: { id: number; supersede: string }[] = []
      const wrapDatabase: Parameters<typeof runSchedules>[1]['wrapDatabase'] = (memory) => {
        setImmediate(() => (environments = memory.tables.environments.select(memory.look(), () => true)))
        return recordDatabase(memory, done)
      }
      await runSchedules([seed], { databaseAway, wrapDatabase }, ({ violations }) => expect(violations).toEqual([]))
      const statements = done.filter(({ sql }) => sql !== 'commit' && sql !== 'rollback')
      const fresh = statements.map(({ sql }) => wordsOf(sql)).filter((words) => !used.has(words))
      if (fresh.length === 0) continue
      for (const words of fresh) used.add(words)
      await prepare(main, environments)
      const open = new Map<number, pg.Client>()
      for (const [at, one] of done.entries()) {
        const client = one.tx === null ? main : (open.get(one.tx) ?? (await begin(one.tx)))
        expect({ seed, at, sql: one.sql, values: one.values, ...(await answer(client, one)) }).toEqual({
          ...{ seed, at, sql: one.sql, values: one.values, violated: one.violated },
          rows: one.rows === null ? null : comparable(one.rows),
        })
        if ((one.sql === 'commit' || one.sql === 'rollback') && one.tx !== null) {
          open.delete(one.tx)
          free.push(client)
        }
      }
      for (const client of open.values()) free.push((await client.query('rollback'), client))

      async function begin(tx: number): Promise<pg.Client> {
        const client = free.pop() ?? (await connect())
        await client.query('begin')
        open.set(tx, client)
        return client
      }
    }
    expect(allStatements.filter((words) => !used.has(words))).toEqual([])
  }, 300_000)
})

async function prepare(client: pg.Client, environments: { id: number; supersede: string }[]): Promise<void> {
  await client.query(`select set_config('fake.now', '0', false)`)
  await client.query('truncate apps, addresses, events restart identity cascade')
  await client.query(`insert into apps (id, name) overriding system value values (1, 'shop'), (2, 'blog')`)
  await client.query(
    `insert into environments (id, app_id, name, label, live, deploy_on_push, allow_forced_push) overriding system value
     values (1, 1, 'test', 'test--shop', false, true, true), (2, 1, 'live', 'shop', true, true, true),
            (3, 2, 'test', 'test--blog', false, true, true)`,
  )
  for (const { id, supersede } of environments)
    await client.query('update environments set supersede = $2 where id = $1', [id, supersede])
}

async function answer(client: pg.Client, { sql, values, nowMs }: Done): Promise<Pick<Done, 'rows' | 'violated'>> {
  try {
    await client.query(`select set_config('fake.now', $1, false)`, [String(nowMs)])
    const { rows } = await client.query<object>(sql, [...values])
    return { rows: comparable(rows), violated: null }
  } catch (error) {
    const { constraint } = error as { constraint?: string }
    if (constraint === undefined) throw new Error(`PostgreSQL refuses ${sql}`, { cause: error })
    return { rows: null, violated: constraint }
  }
}

/** Rows in an order of their own, with keys in an order of their own: `jsonb` has none. */
function comparable(rows: readonly object[]): object[] {
  return rows
    .map((row) => JSON.stringify(sorted(row)))
    .toSorted()
    .map((text) => JSON.parse(text) as object)
}

function sorted(value: unknown): unknown {
  if (value instanceof Date || value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(sorted)
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
