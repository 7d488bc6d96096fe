/* eslint-disable @typescript-eslint/no-unsafe-member-access --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type ApiServer, someCommit, startApiServer } from '../support/api-server.ts'
import { type HttpCall, httpCall, type HttpReply } from '../support/http-call.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
  const { id } = await server.environments.createApp('shop')
  const { id: environmentId } = await server.environments.get('shop', 'test')
  await server.pool.query(
    `with build as (
       insert into builds (app_id, number, commit, key, config, state, image)
       values ($1, 1, $3, 'k', '{}', 'succeeded', '{}') returning id
     ), release as (
       insert into releases (environment_id, number, build_id) select $2, 1, id from build returning id
     ), deploy as (
       insert into deploys (environment_id, kind, commit, requested_by, state, finished_at, release_id)
       select $2, 'deploy', $3, 'ada', 'live', now(), id from release returning id, release_id
     )
     insert into routes (environment_id, release_id, deploy_id) select $2, release_id, id from deploy`,
    [id, environmentId, someCommit],
  )
  await server.pool.query(
    `insert into cron_jobs (environment_id, label, schedule, timezone, run, next_due_at)
     values ($1, 'report', '@daily', 'UTC', './report', '2030-01-01')`,
    [environmentId],
  )
})
afterAll(() => server.remove())

const path = '/apps/shop/environments/test/cron'
const api = (method: string, below: string, call: HttpCall = {}): Promise<HttpReply> =>
  httpCall(method, `${server.url}/api/v1${below}`, { token: server.token.reveal(), ...call })

describe('jobs over the API', () => {
  it('are listed, run, and tell how they ended', async () => {
    expect((await api('GET', path)).json.jobs).toEqual([
      {
        label: 'report',
        schedule: '@daily',
        timezone: 'UTC',
        run: './report',
        nextAt: '2030-01-01T00:00:00.000Z',
        last: null,
        skippedAt: null,
      },
    ])
    const asked = await api('POST', `${path}/report/runs`)
    expect([asked.status, asked.json.state, asked.json.requestedBy]).toEqual([202, 'waiting', 'admin'])
    expect(asked.headers['location']).toBe(`/api/v1${path}/runs/${asked.json.id}`)
    const again = await api('POST', `${path}/report/runs`)
    expect([again.status, again.json.detail]).toEqual([409, 'report is going already: a job runs once at a time.'])
    await server.pool.query(
      `update cron_runs set state = 'failed', started_at = now(), finished_at = now() + interval '1 minute', exit_code = 2, error = 'No.', tail = '{a}'`,
    )
    const run = { state: 'failed', exitCode: 2, error: 'No.', tail: ['a'] }
    expect((await api('GET', `${path}/runs/${asked.json.id}`)).json).toMatchObject(run)
    expect((await api('GET', path)).json.jobs[0].last).toMatchObject(run)
  })

  it('a run’s log ends with the run, and has no lines of others', async () => {
    const [{ id } = { id: 0 }] = await server.pool.query<{ id: number }>('select id from cron_runs')
    for (const instance of ['cron.report', 'cron.other', 'web.1']) {
      const line = { at: new Date(), source: 'app' as const, release: 'v1', instance, text: `of ${instance}` }
      server.runtimeLines.push({ ...line, cursor: `c${server.runtimeLines.length}` })
    }
    const { text } = await api('GET', `${path}/runs/${id}/log`, { headers: { accept: 'text/event-stream' } })
    expect(text).toContain('"text":"of cron.report"')
    expect(text).not.toContain('of cron.other')
    expect(text).not.toContain('of web.1')
    expect(text).toMatch(/event: end\ndata: .*"state":"failed"/)
  })

  it('runs are listed, the newest first, by job, outcome and time, in pages', async () => {
    const { id: environmentId } = await server.environments.get('shop', 'test')
    await server.pool.query(
      `insert into cron_runs (environment_id, deploy_id, label, due_at, state, finished_at, exit_code, error)
       select $1, (select min(id) from deploys), label, timestamptz '2026-01-01' + n * interval '1 hour',
         case when n = 3 then 'failed' else 'succeeded' end, now(), n, case when n = 3 then 'It ended.' end
       from (values ('old'), ('tick')) as l (label), generate_series(1, 5) as n`,
      [environmentId],
    )
    const list = async (query: string): Promise<[string[], number | null]> => {
      const page = (await api('GET', `${path}/runs?${query}`)).json as {
        runs: { label: string; exitCode: number }[]
        next: number | null
      }
      return [page.runs.map(({ label, exitCode }) => `${label} ${exitCode}`), page.next]
    }
    const [first, next] = await list('limit=4')
    // The one that was just run by hand is the newest.
    expect(first).toEqual(['report 2', 'tick 5', 'old 5', 'tick 4'])
    expect(await list(`limit=4&before=${next}`)).toEqual([['old 4', 'tick 3', 'old 3', 'tick 2'], expect.any(Number)])
    expect((await list('job=old&limit=2'))[0]).toEqual(['old 5', 'old 4'])
    expect((await list('state=failed'))[0]).toEqual(['report 2', 'tick 3', 'old 3'])
    expect(await list('since=2026-01-01T05:00:00Z&job=tick')).toEqual([['tick 5'], null])
    expect((await api('GET', `${path}/runs?since=lately`)).status).toBe(400)
    expect((await api('GET', '/apps/shop/environments/live/cron/runs')).json.runs).toEqual([])
    await server.pool.query(`delete from cron_runs where label in ('old', 'tick')`)
  })

  it('a log has no lines of later runs', async () => {
    const [{ id } = { id: 0 }] = await server.pool.query<{ id: number }>('select id from cron_runs')
    const line = { at: new Date(Date.now() + 600_000), source: 'app' as const, release: 'v1', instance: 'cron.report' }
    server.runtimeLines.push({ ...line, text: 'of the next run', cursor: 'later' })
    const { text } = await api('GET', `${path}/runs/${id}/log`, { headers: { accept: 'text/event-stream' } })
    expect(text).toContain('of cron.report')
    expect(text).not.toContain('of the next run')
  })

  it('that are not there are not found, of another environment neither', async () => {
    expect((await api('POST', `${path}/nothing/runs`)).json.detail).toBe(
      'What serves in test of shop has no job “nothing”.',
    )
    const [{ id } = { id: 0 }] = await server.pool.query<{ id: number }>('select id from cron_runs')
    expect((await api('GET', `/apps/shop/environments/live/cron/runs/${id}`)).status).toBe(404)
    expect((await api('GET', `${path}/runs/0`)).status).toBe(400)
    expect((await api('POST', '/apps/shop/environments/live/cron/report/runs')).status).toBe(409)
  })
})
