import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool, migrate, type Pool } from '../../src/postgres/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const migrations = resolve(__dirname, '../../sql/migrations')
let database: TestDatabase
let pool: Pool
let older: string
let newer: string

beforeEach(async () => {
  database = await createTestDatabase()
  pool = makePool(database.connection, { logger: silentLogger, size: 1 })
  // The test's database has had all of ours; the newer program has one more.
  older = migrations
  newer = await mkdtemp(join(tmpdir(), 'slipway-migrations-'))
})
afterEach(async () => {
  await pool.close()
  await database.drop()
  await rm(newer, { recursive: true })
})

const run = (folder: string, version: string): Promise<string[]> =>
  migrate(database.connection, { folder, version, logger: silentLogger })

async function migrateNewer(head: string, sql = 'create table more (x int);'): Promise<string[]> {
  for (const name of await readdir(migrations)) await copyFile(join(migrations, name), join(newer, name))
  await writeFile(join(newer, '9999_more.sql'), `${head}\n${sql}\n`)
  return run(newer, '0.3.0')
}

it('an older program goes on with a database whose newer migrations work with it, and changes nothing', async () => {
  expect(await migrateNewer('-- works with: 0.1.0')).toEqual(['9999_more.sql'])
  expect(await run(older, '0.1.0')).toEqual([])
  expect(await run(newer, '0.3.0')).toEqual([])
  await pool.query('select x from more')
})

it('an older program than the database needs is refused with the version that is needed', async () => {
  await migrateNewer('-- works with: 0.2.0')
  await expect(run(older, '0.1.9')).rejects.toThrow('The database needs Slipway 0.2.0 or newer; this is 0.1.9.')
  expect(await run(older, '0.2.0')).toEqual([])
})

it('a database from before versions were recorded is taken on', async () => {
  await pool.query('alter table schema_migrations drop column if exists works_with')
  expect(await run(older, '0.1.0')).toEqual([])
  expect(await migrateNewer('-- works with: 0.1.0')).toEqual(['9999_more.sql'])
})

it('may take longer than any other statement of Slipway', async () => {
  // Others are given up after five seconds.
  expect(await migrateNewer('-- works with: 0.1.0', 'select pg_sleep(5.5);')).toEqual(['9999_more.sql'])
})
