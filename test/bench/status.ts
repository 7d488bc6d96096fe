import pg from 'pg'
import { silentLogger } from '../../src/kernel/logger.ts'
import { type Connection, makePool } from '../../src/postgres/index.ts'
import { makeStatuses } from '../../src/status/index.ts'
import { createTestDatabase } from '../support/database.ts'

export interface StatusRounds {
  readonly environments: number
  readonly deploys: number
  /** Milliseconds: all statuses, and reading as many rows of one table as the floor. */
  readonly slipway: readonly number[]
  readonly bare: readonly number[]
}

const apps = 1_000
const deploysEach = 100

/**
 * The statuses of all environments of a thousand apps with a hundred deploys each, ten variables and a live release in every
 * environment; a third of them are behind their branch, a third have a changed variable.
 */
export async function measureStatus(rounds: number): Promise<StatusRounds> {
  const database = await createTestDatabase()
  const db = makePool(database.connection, { logger: silentLogger, size: 4 })
  try {
    await fillDatabase(database.connection)
    const statuses = makeStatuses({ db, commits: { countBetween: async () => null }, logger: silentLogger })
    const slipway: number[] = []
    const bare: number[] = []
    const time = async (into: number[], work: () => Promise<unknown[]>): Promise<number> => {
      const begun = performance.now()
      const { length } = await work()
      into.push(performance.now() - begun)
      return length
    }
    let environments = 0
    for (let round = -1; round < rounds; round += 1) {
      // The first is for warming up.
      const [to, floor] = round === -1 ? [[], []] : [slipway, bare]
      environments = await time(to, () => statuses.list())
      await time(floor, () => db.query('select * from environments'))
    }
    return { environments, deploys: apps * deploysEach, slipway, bare }
  } finally {
    await db.close()
    await database.drop()
  }
}

/** Without the pool's limit of time: the rows are many. */
async function fillDatabase(connection: Connection): Promise<void> {
  const client = new pg.Client({ ...connection })
  await client.connect()
  for (const sql of fill) await client.query(sql)
  await client.end()
}

const fill = [
  `insert into apps (name, default_branch) select 'app' || n, 'main' from generate_series(1, ${apps}) n`,
  `insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push)
   select a.id, v.name, v.name || '--' || a.name, v.name = 'live', true, true from apps a, (values ('test'), ('live')) as v (name)`,
  `insert into branches (app_id, name, head) select id, 'main', repeat(case when id % 3 = 0 then 'b' else 'a' end, 40) from apps`,
  `insert into builds (app_id, number, commit, key, config, state, image)
   select id, 1, repeat('a', 40), 'key' || id, '{}', 'succeeded', '{"digest": "sha256:1"}' from apps`,
  `insert into sealing_keys (purpose) values ('values')`,
  `insert into variables (environment_id, name, key_id, sealed, mark, bytes, version, changed_by)
   select e.id, 'NAME_' || n, k.id, '\\x00', decode(repeat(case when e.id % 3 = 0 and n = 1 then 'bb' else 'aa' end, 16), 'hex'), 1, 1, 'ada'
   from environments e, generate_series(1, 10) n, sealing_keys k`,
  // A hundred deploys for each app: fifty in each of its environments, each with a release of its own.
  `insert into releases (environment_id, number, build_id, variable_marks)
   select e.id, v, b.id, (select jsonb_object_agg('NAME_' || n, repeat('aa', 16)) from generate_series(1, 10) n)
   from environments e join builds b on b.app_id = e.app_id, generate_series(1, ${deploysEach / 2}) v`,
  `insert into deploys (environment_id, kind, branch, commit, requested_by, state, release_id, created_at, finished_at)
   select r.environment_id, 'push', 'main', repeat('a', 40), 'ada', 'live', r.id, now(), now() from releases r order by number`,
  `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms)
   select d.release_id, d.id, 1, 80, case when r.number = ${deploysEach / 2} then 'serving' else 'retired' end, 1, 1
   from deploys d join releases r on r.id = d.release_id`,
  `insert into routes (environment_id, release_id) select environment_id, id from releases where number = ${deploysEach / 2}`,
  `insert into commit_counts (environment_id, deployed, head, undeployed, left_out)
   select e.id, repeat('a', 40), b.head, 3, 0 from environments e join branches b on b.app_id = e.app_id where b.head like 'b%'`,
  'analyze',
]
