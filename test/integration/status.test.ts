import { beforeEach, describe, expect, it } from '@jest/globals'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessConfig } from '../../src/builds/index.ts'
import { countInstances, type Scale } from '../../src/deploys/plan-instances.ts'
import { appendEvent } from '../../src/kernel/events.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeStatuses } from '../../src/status/index.ts'
import { listProcessChanges } from '../../src/status/store.ts'
import { type ApiServer, someCommit } from '../support/api-server.ts'
import { httpCall } from '../support/http-call.ts'
import { addRelease } from '../support/old-releases.ts'
import { withOwnApi } from '../support/own-api.ts'
import type { Cli } from '../support/slipway-cli.ts'

const head = 'b'.repeat(40)
const deployed = 'a'.repeat(40)

let server: ApiServer
let cli: Cli
let count = 0
let app: string
let appId: number
let test: number
withOwnApi((own) => void ({ server, cli } = own))
beforeEach(async () => {
  app = `shop${(count += 1)}`
  appId = (await server.environments.createApp(app)).id
  test = (await server.environments.get(app, 'test')).id
  server.counted.between = { added: 3, left: 0 }
})

const api = async (path: string): Promise<Record<string, unknown>> =>
  (await httpCall('GET', `${server.url}/api/v1${path}`, { token: server.token.reveal() })).json as Record<
    string,
    unknown
  >

/** A release of `commit` goes live in test; its branch stands at `head`. */
async function goLive(commit = deployed): Promise<number> {
  const { releaseId } = await addRelease(server.pool, test, { commit })
  await server.pool.query('update deploys set branch = $2 where release_id = $1', [releaseId, 'main'])
  await server.pool.query(
    'insert into routes (environment_id, release_id) values ($1, $2) on conflict (environment_id) do update set release_id = $2',
    [test, releaseId],
  )
  return releaseId
}

type Given = readonly [state: 'serving' | 'draining' | 'retired', how?: { down?: boolean; isLoop?: boolean }]

async function addInstances(releaseId: number, given: readonly Given[], behind = 0): Promise<void> {
  for (const [at, [state, { down = false, isLoop = false } = {}]] of given.entries()) {
    await server.pool.query(
      `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms, down_since, crash_loop_since)
       select $1, (select max(id) from deploys where release_id = $1), $2, 8080, $3, 1000, 1000,
         case when $4 then now() end, case when $5 then now() end`,
      [releaseId, behind + at + 1, state, down, isLoop],
    )
  }
}

async function moveBranch(name: string, commit: string): Promise<void> {
  await server.environments.pinDefaultBranch(app, 'main')
  await server.pool.query(
    'insert into branches (app_id, name, head) values ($1, $2, $3) on conflict (app_id, name) do update set head = $3',
    [appId, name, commit],
  )
}

/** Until what was told of the app so far is the past: a transaction that still runs anywhere in the cluster holds it back. */
async function waitForThePast(): Promise<void> {
  const isPast = `select coalesce(max(xid) < pg_snapshot_xmin(pg_current_snapshot()), true) as past from events where app_id = $1`
  for (const end = Date.now() + 20_000; Date.now() < end; await delay(10)) {
    if ((await server.pool.query<{ past: boolean }>(isPast, [appId]))[0]?.past === true) return
  }
  throw new Error('a transaction holds back what was told before')
}

const testOf = (): Promise<Record<string, unknown>> => api(`/apps/${app}/environments/test/status`)
const codes = (messages: unknown): string[] => (messages as { code: string }[]).map(({ code }) => code)

describe('the status of an environment', () => {
  it('begins with nothing', async () => {
    expect(await testOf()).toMatchObject({ state: 'not-deployed', undeployed: null, unapplied: [], commits: [] })
    expect(codes((await testOf())['messages'])).toEqual(['not-deployed', 'no-branch'])
  })

  it('counts what the branch has and is not deployed, and names the newest', async () => {
    await goLive()
    await moveBranch('main', head)
    const status = await testOf()
    expect(status).toMatchObject({ state: 'running', undeployed: 3 })
    expect(status['commits']).toEqual([
      { id: head, author: 'Ada', at: '2026-01-02T03:04:05.000Z', subject: 'Change it' },
    ])
    expect(codes(status['messages'])).toEqual(['succeeded', 'undeployed'])
    await goLive(head)
    expect(codes((await testOf())['messages'])).toEqual(['succeeded', 'all-deployed'])
    expect((await testOf())['commits']).toEqual([])
  })

  it('takes no count for another pair of commits, and leaves open what git cannot count', async () => {
    await goLive()
    await moveBranch('main', head)
    await testOf()
    server.counted.between = null
    await moveBranch('main', someCommit)
    expect(await testOf()).toMatchObject({ undeployed: null })
    server.counted.between = { added: 1, left: 2 }
    expect(codes((await testOf())['messages'])).toEqual(['succeeded', 'undeployed', 'rewritten'])
  })

  it('takes no count of what was live before', async () => {
    await goLive()
    await moveBranch('main', head)
    expect(await testOf()).toMatchObject({ undeployed: 3 })
    server.counted.between = null
    await goLive('d'.repeat(40))
    expect(await testOf()).toMatchObject({ undeployed: null })
  })

  it('tells of the instances that serve it, of what drains in it, and of the last deploy that has ended', async () => {
    const before = await goLive(head)
    const live = await goLive()
    await addInstances(live, [
      ['serving'],
      ['serving', { down: true, isLoop: true }],
      ['serving'],
      ['retired', { down: true }],
    ])
    await addInstances(before, [['draining'], ['draining'], ['retired']])
    const { id: liveEnvironment } = await server.environments.get(app, 'live')
    const { releaseId: elsewhere } = await addRelease(server.pool, liveEnvironment, { commit: head })
    await addInstances(elsewhere, [['draining'], ['serving', { down: true }]])
    await server.pool.query(
      `insert into deploys (environment_id, kind, commit, requested_by, state, step, started_at)
       values ($1, 'push', $2, 'ada', 'running', 'check', now())`,
      [test, head],
    )
    const statuses = makeStatuses({
      db: server.pool,
      commits: { countBetween: async () => null },
      logger: silentLogger,
    })
    const told = (await statuses.ofApp(appId)).find(({ facts }) => facts.environmentId === test)
    expect(told).toMatchObject({
      state: 'partly',
      facts: {
        live: { commit: deployed, branch: 'main', instances: 3, down: 1, isCrashLoop: true },
        draining: 1,
        lastDeploy: { state: 'live', commandsRan: false },
        deploying: { step: 'check' },
      },
    })
    expect(told?.facts.drainsItself).toBe(false)
    expect(told?.messages[0]?.text).toBe('Ends again and again: 1 of 3 instances down')
    await server.pool.query('update instances set down_since = null, crash_loop_since = null where release_id = $1', [
      live,
    ])
    expect((await statuses.ofApp(appId)).find(({ facts }) => facts.environmentId === test)).toMatchObject({
      ...{ state: 'running', facts: { live: { instances: 3, down: 0, isCrashLoop: false } } },
    })
    // A restart: the same release takes the place of its own earlier instances.
    await addInstances(live, [['draining']], 5)
    expect((await statuses.ofApp(appId)).find(({ facts }) => facts.environmentId === test)).toMatchObject({
      facts: { draining: 1, drainsItself: true, warm: null },
    })
    // What is kept for a way back finishes nothing.
    await server.pool.query(
      `update instances set warm_until = now() + interval '1 minute' where release_id = $1 and state = 'draining'`,
      [before],
    )
    const [number] = await server.pool.query<{ n: number }>('select number as n from releases where id = $1', [before])
    expect((await statuses.ofApp(appId)).find(({ facts }) => facts.environmentId === test)).toMatchObject({
      facts: { draining: 0, drainsItself: true, warm: { release: number?.n, until: expect.any(Date) } },
    })
  })

  it('names what was changed since', async () => {
    await goLive()
    await moveBranch('main', deployed)
    await server.environments.change(app, 'test', { branch: 'develop' })
    expect(await testOf()).toMatchObject({ unapplied: [{ what: 'branch', names: ['main', 'develop'] }] })
    expect(codes((await testOf())['messages'])).toEqual(['succeeded', 'no-branch'])
    await moveBranch('develop', deployed)
    expect(codes((await testOf())['messages'])).toEqual(['succeeded', 'all-deployed', 'unapplied'])
  })

  it('is shown on the command line, with what the next deploy brings', async () => {
    await goLive()
    await moveBranch('main', head)
    const shown = await cli.run(['status', 'test', '-a', app])
    expect(shown.stdout).toContain('3 undeployed commits\n')
    expect(shown.stdout).toContain(
      `The next deploy brings (slipway deploy test -a ${app}):\n  bbbbbbbbbb Ada: Change it\n  … and 2 more\n`,
    )
    const all = await cli.run(['status', '--all'])
    expect(all.stdout).toMatch(new RegExp(`${app} +test +running +v1 .* 3 commits`))
    expect((await cli.run(['status', '--all', 'test'])).code).toBe(2)
  })
})

describe('the processes that are not as they were asked for', () => {
  const configured: ProcessConfig[] = [
    { name: 'web', run: null, instances: 2 },
    { name: 'worker', run: 'work', instances: 1 },
  ]
  /** One of each went before. */
  async function serve(environmentId: number, counts: Readonly<Record<string, number>>): Promise<void> {
    const { releaseId, deployId, buildId } = await addRelease(server.pool, environmentId)
    await server.pool.query(`update builds set config = $2 where id = $1`, [buildId, { processes: configured }])
    await server.pool.query(
      `insert into routes (environment_id, release_id, deploy_id) values ($1, $2, $3)
       on conflict (environment_id) do update set release_id = $2, deploy_id = $3`,
      [environmentId, releaseId, deployId],
    )
    for (const [process, count] of Object.entries(counts)) {
      await server.pool.query(
        `insert into instances (release_id, deploy_id, process, position, port, state, drain_ms, stop_ms)
         select $1, $2, $3, n, 80, case when n = 0 then 'retired' else 'serving' end, 1, 1 from generate_series(0, $4) n`,
        [releaseId, deployId, process, count],
      )
    }
  }
  async function scale(environmentId: number, asked: Scale): Promise<void> {
    await server.pool.query('delete from scales where environment_id = $1', [environmentId])
    for (const [process, { instances }] of asked) {
      await server.pool.query(
        `insert into scales (environment_id, process, instances, changed_by) values ($1, $2, $3, 'ada')`,
        [environmentId, process, instances],
      )
    }
  }
  const read = async (id: number): Promise<(string[] | undefined)[]> =>
    (await Promise.all([listProcessChanges(server.pool, null), listProcessChanges(server.pool, appId)])).map((found) =>
      found.get(id),
    )

  it.each(['test', 'live'])('are those of which the next deploy starts another number: in %s', async (name) => {
    const { id, live } = await server.environments.get(app, name)
    const wishes: [string, number][][] = [
      [],
      [['web', 3]],
      [['worker', 0]],
      [
        ['web', 1],
        ['worker', 2],
      ],
    ]
    for (const web of [1, 2, 3]) {
      for (const worker of [0, 1, 2]) {
        await serve(id, { web, worker })
        for (const wish of wishes) {
          const asked: Scale = new Map(
            wish.map(([process, instances]) => [process, { instances, by: 'ada', at: new Date() }]),
          )
          await scale(id, asked)
          const started: Readonly<Record<string, number>> = { web, worker }
          const other = configured
            .filter((process) => countInstances(process, { live, scale: asked }) !== started[process.name])
            .map((process) => process.name)
          const expected = other.length === 0 ? undefined : other
          expect({ web, worker, wish, found: await read(id) }).toEqual({
            web,
            worker,
            wish,
            found: [expected, expected],
          })
        }
      }
    }
  })

  it('are none where nothing runs', async () => {
    await serve(test, { web: 3, worker: 0 })
    expect(await read(test)).toEqual([
      ['web', 'worker'],
      ['web', 'worker'],
    ])
    await server.pool.query(`update environments set state = 'stopped' where id = $1`, [test])
    expect(await read(test)).toEqual([undefined, undefined])
  })
})

describe('the status of all environments', () => {
  it('is counted in the background when a head or what is live has moved', async () => {
    await server.environments.pinDefaultBranch(app, 'main')
    await waitForThePast()
    const over = new AbortController()
    let counts = 0
    const commits = { countBetween: async () => ((counts += 1), { added: 7, left: 0 }) }
    const statuses = makeStatuses({ db: server.pool, commits, logger: silentLogger })
    const sleep = (_: number, signal: AbortSignal): Promise<void> => delay(10, undefined, { signal })
    const kept = statuses.keep({ signal: over.signal, sleep })
    const mine = async (): Promise<number | null | undefined> =>
      (await statuses.list()).find(({ facts }) => facts.environmentId === test)?.undeployed
    await delay(1_000)
    await goLive()
    await server.pool.query(`insert into branches (app_id, name, head) values ($1, 'main', $2)`, [appId, head])
    await delay(100)
    // Nothing told of it yet.
    expect(await mine()).toBeNull()
    await server.pool.transaction((tx) => appendEvent(tx, { kind: 'push.received', appId }))
    for (const end = Date.now() + 10_000; (await mine()) !== 7 && Date.now() < end; ) await delay(10)
    expect(await mine()).toBe(7)
    const before = counts
    await delay(100)
    expect(counts).toBe(before)
    over.abort()
    await kept
  })

  it('calls a worker crashed that ended or does not come up, not one that is being started', async () => {
    const releaseId = await goLive()
    await server.pool.query(
      `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms, process, down_since)
       select $1, max(id), 1, 8080, 'serving', 0, 0, 'worker', now() from deploys where release_id = $1`,
      [releaseId],
    )
    const set = (change: string) =>
      server.pool.query(`update instances set ${change} where release_id = $1`, [releaseId])
    expect((await testOf()).state).toBe('running')
    await set('end_count = 1')
    expect((await testOf()).state).toBe('crashed')
    await set(`end_count = 0, down_since = now() - interval '1 minute'`)
    // Its time begins with the swap: the checks before that may have taken long.
    expect((await testOf()).state).toBe('running')
    await server.pool.query(`update routes set changed_at = now() - interval '20 s' where release_id = $1`, [releaseId])
    expect((await testOf()).state).toBe('crashed')
  })

  it('takes as many statements for a thousand apps as for one, and reads by index what grows with time', async () => {
    await server.pool.query(`
      with a as (insert into apps (name, default_branch) select 'many' || n, 'main' from generate_series(1, 1000) n returning id, name),
        e as (insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push)
          select id, v.n, v.n || '--' || a.name, v.n = 'live', true, true from a, (values ('test'), ('live')) as v (n) returning id)
      insert into branches (app_id, name, head) select id, 'main', repeat('b', 40) from a`)
    // One statement for all takes longer than statements may on a busy machine.
    for (let part = 0; part < 5; part += 1)
      await server.pool.query(`
        insert into deploys (environment_id, kind, commit, requested_by, state, finished_at)
          select e.id, 'push', repeat('a', 40), 'ada', 'failed', now()
          from environments e join apps p on p.id = e.app_id, generate_series(1, 4) where p.name like 'many%'`)
    await server.pool.query('analyze')
    const asked: string[] = []
    const db = {
      query: <Row extends object>(sql: string, values?: readonly unknown[]) => {
        asked.push(sql)
        return server.pool.query<Row>(sql, values)
      },
    }
    const statuses = makeStatuses({ db, commits: { countBetween: async () => null }, logger: silentLogger })
    const all = await statuses.list()
    expect(all.length).toBeGreaterThan(2000)
    expect(asked.length).toBeLessThanOrEqual(3)
    for (const sql of asked) {
      const plan = await server.pool.query<{ 'QUERY PLAN': string }>(`explain ${sql}`)
      const text = plan.map((row) => row['QUERY PLAN']).join('\n')
      expect(text).not.toMatch(/Seq Scan on (deploys|deploy_log|events)/)
    }
  })
})
