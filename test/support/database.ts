import { createHash, randomUUID } from 'node:crypto'
import { chmod, mkdir, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeCluster } from '../../src/postgres/cluster.ts'
import { type Connection, migrate } from '../../src/postgres/index.ts'
import { root } from './root.ts'

const migrations = join(root, 'sql/migrations')

export interface TestDatabase {
  /** For `DATABASE_URL`. */
  readonly url: string
  /** For `makePool`. */
  readonly connection: Connection
  drop(): Promise<void>
}

/**
 * A database of the test's own, with all migrations, copied from a template in a few hundredths of a second. The cluster is
 * shared by all tests: `npm test` starts one and ends it; without it one stays in the temporary folder for the next run.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const host = await ensureTestCluster()
  const template = await ensureTemplate(host)
  const database = `test_${randomUUID().replaceAll('-', '').slice(0, 16)}`
  await asSuperuser(host, 'postgres', (client) => copyTemplate(client, database, template))
  return {
    url: `postgres://slipway@${encodeURIComponent(host)}/${database}`,
    connection: { host, port: 5432, user: 'slipway', database },
    drop: () =>
      asSuperuser(host, 'postgres', async (client) => {
        await client.query(`drop database if exists ${database} with (force)`)
      }),
  }
}

/** The folder of the shared cluster's socket. */
async function ensureTestCluster(): Promise<string> {
  const given = process.env['TEST_CLUSTER']
  const dataDir = given ?? join(tmpdir(), `slipway-tests-${process.getuid?.() ?? 0}`)
  await mkdir(dataDir, { recursive: true })
  await chmod(dataDir, 0o711)
  const cluster = makeCluster({ dataDir, name: 'control', logger: silentLogger, durable: false })
  return (await cluster.ensure()).host
}

/** One template for each state of the migrations; made by whoever comes first. */
async function ensureTemplate(host: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(migrations)).sort())
    hash.update(name).update(await readFile(join(migrations, name)))
  const template = `template_${hash.digest('hex').slice(0, 16)}`
  await asSuperuser(host, 'postgres', async (client) => {
    await client.query('select pg_advisory_lock(1)')
    const found = await client.query('select 1 from pg_database where datname = $1', [template])
    if (found.rowCount === 1) return
    const unfinished = `${template}_new`
    await client.query(`drop database if exists ${unfinished} with (force)`)
    await client.query(`create database ${unfinished} owner slipway`)
    const connection = { host, user: 'slipway', database: unfinished }
    await migrate(connection, { folder: migrations, version: '0.0.0', logger: silentLogger })
    await client.query(`alter database ${unfinished} rename to ${template}`)
  })
  return template
}

async function copyTemplate(client: pg.Client, database: string, template: string): Promise<void> {
  // Two copies of one template at the same moment refuse each other.
  await client.query('select pg_advisory_lock(2)')
  await client.query(`create database ${database} template ${template} owner slipway`)
}

async function asSuperuser<T>(host: string, database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ host, port: 5432, user: 'postgres', database, query_timeout: 60_000 })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
