import { expect, it } from '@jest/globals'
import { makeDeployReads } from '../../src/deploys/reads.ts'
import type { Pool } from '../../src/postgres/index.ts'
import { withOwnPool } from '../support/own-pool.ts'

let pool: Pool
let environmentId: number
withOwnPool((own) => void ({ pool, environmentId } = own))

const insert = async (sql: string, values: unknown[] = []): Promise<number> =>
  (await pool.query<{ id: number }>(`${sql} returning id`, values))[0]?.id ?? 0

const insertDeploy = (state: string): Promise<number> =>
  insert(
    `insert into deploys (environment_id, kind, commit, requested_by, state, finished_at)
     values ($1, 'deploy', 'c1', 'me', $2, case when $2 in ('waiting', 'running') then null else now() end)`,
    [environmentId, state],
  )

it('counts deploys by state, those without any too', async () => {
  for (const state of ['waiting', 'waiting', 'running', 'live']) await insertDeploy(state)
  const none = { reverted: 0, failed: 0, cancelled: 0, superseded: 0 }
  expect(await makeDeployReads({ db: pool }).countByState()).toEqual({ waiting: 2, running: 1, live: 1, ...none })
})

it('reads a log page by page', async () => {
  const id = await insertDeploy('failed')
  await pool.query(
    `insert into deploy_log (deploy_id, seq, kind, text) select $1, n, 'output', 'line ' || n from generate_series(1, 5) n`,
    [id],
  )
  const reads = makeDeployReads({ db: pool })
  const page = await reads.readLog(id, { after: 2, limit: 2 })
  expect(page).toEqual([
    { seq: 3, at: expect.any(Date), kind: 'output', text: 'line 3' },
    { seq: 4, at: expect.any(Date), kind: 'output', text: 'line 4' },
  ])
  expect(await reads.readLog(id, { after: 5, limit: 2 })).toEqual([])
})

it('knows what a route leads to', async () => {
  const reads = makeDeployReads({ db: pool })
  expect(await reads.findServing(environmentId)).toBeNull()
  const build = await insert(
    `insert into builds (app_id, number, commit, key, config, state) select app_id, 1, 'c9', 'k', '{}', 'failed'
     from environments where id = $1`,
    [environmentId],
  )
  const release = await insert('insert into releases (environment_id, number, build_id) values ($1, 4, $2)', [
    environmentId,
    build,
  ])
  const deployId = await insertDeploy('live')
  await pool.query('insert into routes (environment_id, release_id, deploy_id) values ($1, $2, $3)', [
    environmentId,
    release,
    deployId,
  ])
  expect(await reads.findServing(environmentId)).toEqual({
    releaseId: release,
    deployId,
    number: 4,
    commit: 'c9',
    since: expect.any(Date),
  })
})
