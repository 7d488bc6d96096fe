import { afterAll, beforeAll, expect, it } from '@jest/globals'
import pg from 'pg'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway } from '../support/slipway.ts'
import { type Cli, makeCli } from '../support/slipway-cli.ts'

/*
 * A server whose database holds ten thousand environments with what they have gone through. What a push and the pages read is
 * counted by PostgreSQL itself: a question without an index reads a table from its beginning to its end.
 */

const apps = 5_000
const environments = 2 * apps

let slipway: Slipway
let db: pg.Client
let cli: Cli
let shop: Clone
beforeAll(async () => {
  await ensureBaseImage()
  slipway = await makeSlipway()
  await slipway.start()
  cli = await makeCli()
  shop = await makeClone(slipway, 'shop')
  await shop.write(page('one'))
  expect((await shop.push('main')).results).toMatchObject([{ environment: 'test', status: 'live' }])
  db = new pg.Client({ connectionString: slipway.databaseUrl })
  await db.connect()
  for (const sql of fill) await db.query(sql)
})
afterAll(async () => {
  await db.end()
  await Promise.all([shop.remove(), cli.remove()])
  expect(await slipway.remove()).toEqual([])
})

const fill = [
  `insert into apps (name, default_branch) select 'other' || n, 'main' from generate_series(1, ${apps}) n`,
  `insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push)
   select a.id, v.name, v.name || '--' || a.name, v.name = 'live', true, true
   from apps a, (values ('test'), ('live')) as v (name) where a.name like 'other%'`,
  `insert into branches (app_id, name, head) select id, 'main', repeat('a', 40) from apps where name like 'other%'`,
  `insert into builds (app_id, number, commit, key, config, state, error)
   select id, n, repeat('a', 40), 'key' || id || '-' || n, '{}', 'failed', 'x' from apps, generate_series(1, 3) n where name like 'other%'`,
  `insert into releases (environment_id, number, build_id)
   select e.id, b.number, b.id from environments e join builds b on b.app_id = e.app_id where b.state = 'failed'`,
  `insert into deploys (environment_id, kind, branch, commit, requested_by, state, build_id, release_id, finished_at)
   select r.environment_id, 'push', 'main', repeat('a', 40), 'ada', 'failed', r.build_id, r.id, now()
   from releases r join builds b on b.id = r.build_id where b.state = 'failed'`,
  `insert into deploy_log (deploy_id, seq, kind, text)
   select d.id, n, 'output', 'x' from deploys d, generate_series(1, 3) n where d.state = 'failed'`,
  `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms)
   select release_id, id, 1, 80, 'retired', 1, 1 from deploys where state = 'failed'`,
  `insert into events (kind, app_id, environment_id, deploy_id, app, environment, actor)
   select 'deploy.failed', e.app_id, e.id, d.id, 'x', e.name, 'ada' from deploys d join environments e on e.id = d.environment_id
   where d.state = 'failed'`,
  `insert into pushes (app_id, pushed_by, state, updates)
   select id, 'ada', 'received', '[]' from apps, generate_series(1, 3) where name like 'other%'`,
  `insert into sealing_keys (purpose) values ('values')`,
  `insert into variables (environment_id, name, key_id, sealed, mark, bytes, version, changed_by)
   select e.id, 'NAME_' || n, (select max(id) from sealing_keys), '\\x00', '\\x00', 1, 1, 'ada'
   from environments e, generate_series(1, 3) n where e.label like '%other%'`,
  `insert into scales (environment_id, process, instances, changed_by)
   select id, 'web', 1, 'ada' from environments where label like '%other%'`,
  `insert into environment_passwords (environment_id, user_name, hash)
   select id, 'ada', 'x' from environments where label like '%other%7'`,
  `insert into environment_ranges (environment_id, range) select id, '10.0.0.0/8' from environments where label like '%other%7'`,
  `insert into commit_counts (environment_id, deployed, head, undeployed, left_out)
   select id, repeat('a', 40), repeat('a', 40), 0, 0 from environments where label like '%other%'`,
  `insert into release_numbers (app_id, environment_name, last_number)
   select app_id, name, 3 from environments where label like '%other%'`,
  `insert into cron_jobs (environment_id, label, schedule, timezone, run, next_due_at)
   select id, 'report', '@daily', 'UTC', 'true', now() + interval '1 day' from environments where label like '%other%'`,
  `insert into cron_runs (environment_id, deploy_id, label, due_at, state, finished_at)
   select d.environment_id, d.id, 'report', now() - d.id * interval '1 s', 'failed', now() from deploys d join environments e on e.id = d.environment_id
   where e.label like '%other%'`,
  'vacuum analyze',
]

interface Reads {
  readonly table: string
  /** Rows that were read, one after the other or by an index. */
  readonly rows: number
  readonly size: number
}

/** Backends report what they did when they end: the pool takes new ones. */
async function countReads(): Promise<Map<string, Reads>> {
  await db.query(
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and application_name = 'slipway'`,
  )
  // Until Slipway has seen it.
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { rows } = await db.query<Reads>(
    `select relname as table, (seq_tup_read + idx_tup_fetch)::int as rows, n_live_tup::int as size from pg_stat_user_tables`,
  )
  return new Map(rows.map((row) => [row.table, row]))
}

async function readBy(work: () => Promise<unknown>): Promise<Reads[]> {
  const before = await countReads()
  await work()
  const after = await countReads()
  return [...after.values()].map(({ table, rows, size }) => ({
    table,
    size,
    rows: rows - (before.get(table)?.rows ?? 0),
  }))
}

const large = (reads: readonly Reads[]): Reads[] => reads.filter(({ size }) => size >= apps)
const wholly = (reads: readonly Reads[]): string[] =>
  large(reads)
    .filter(({ rows, size }) => rows >= size)
    .map(({ table }) => table)

const slipwayCli = async (...args: string[]): Promise<string> => {
  const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
  const { code, stdout, stderr } = await cli.run(args, { env })
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' })
  return stdout
}

it(`a push to one of ${environments} environments reads no table from end to end`, async () => {
  let status: unknown
  const reads = await readBy(async () => {
    await shop.write({ 'www/index.html': 'two\n' })
    status = (await shop.push('main')).results
  })
  expect(status).toMatchObject([{ environment: 'test', status: 'live' }])
  expect(large(reads).map(({ table }) => table)).toEqual(
    expect.arrayContaining(['apps', 'deploys', 'environments', 'events']),
  )
  expect(wholly(reads)).toEqual([])
})

it('a strict push reads no table from end to end', async () => {
  const reads = await readBy(async () => {
    await shop.write({ 'www/index.html': 'three\n' })
    expect((await shop.push('main', '-o', 'strict')).results).toMatchObject([{ status: 'live' }])
  })
  expect(wholly(reads)).toEqual([])
})

it('the pages of an app read no table from end to end', async () => {
  const reads = await readBy(async () => {
    for (const args of [
      ['status', '-a', 'shop'],
      ['status', 'test', '-a', 'shop'],
      ['envs', 'list', '-a', 'shop'],
      ['apps', 'show', 'shop'],
      ['deploys', 'list', 'test', '-a', 'shop'],
      ['deploys', 'show', '1'],
      ['deploys', 'log', '1'],
      ['activity', '-a', 'shop'],
      ['activity', '--all'],
      ['activity', '--all', '--by', 'nobody'],
      ['activity', '--all', '--kind', 'vars'],
      ['activity', '--all', '--kind', 'deploy.live'],
      ['activity', '-a', 'shop', '--kind', 'cron.failed'],
      ['activity', '-a', 'shop', '-e', 'live'],
      ['vars', 'list', 'test', '-a', 'shop'],
      ['scale', 'test', '-a', 'shop'],
      ['protect', 'test', '-a', 'shop', '--list'],
      ['cron', 'test', '-a', 'shop'],
      ['logs', 'test', '-a', 'shop', '--source', 'app,deploy'],
    ])
      await slipwayCli(...args)
  })
  expect(wholly(reads)).toEqual([])
})

it('changes of an environment read no table from end to end', async () => {
  const reads = await readBy(async () => {
    await slipwayCli('envs', 'set', 'live', '-a', 'shop', '--branch', 'main')
    await slipwayCli('deploy', 'live', '-a', 'shop')
    await slipwayCli('envs', 'add', 'qa', '-a', 'shop', '--from', 'test')
    await slipwayCli('vars', 'set', '-e', 'qa', '-a', 'shop', 'NAME=value')
    await slipwayCli('protect', 'qa', '-a', 'shop', '--allow', '10.1.0.0/16')
    await slipwayCli('scale', 'live', '-a', 'shop', 'web=2')
    await slipwayCli('restart', 'test', '-a', 'shop')
    await slipwayCli('envs', 'stop', 'test', '-a', 'shop')
    await slipwayCli('envs', 'start', 'test', '-a', 'shop')
    await slipwayCli('envs', 'remove', 'qa', '-a', 'shop', '-y')
  })
  expect(wholly(reads)).toEqual([])
})

it('what is looked after all the time reads no table from end to end', async () => {
  const reads = await readBy(async () => {
    await slipwayCli('doctor')
    // Jobs are looked for every ten seconds.
    await new Promise((resolve) => setTimeout(resolve, 11_000))
  })
  expect(wholly(reads)).toEqual([])
})
