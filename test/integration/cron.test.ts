import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { CronJob } from '../../src/builds/index.ts'
import { type Cron, type CronRun, makeCron } from '../../src/cron/index.ts'
import { type Clock, systemClock } from '../../src/kernel/clock.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeSlots } from '../../src/kernel/slots.ts'
import { listRuns } from '../../src/cron/runs-store.ts'
import { forgetOldRuns } from '../../src/nightly/index.ts'
import type { FakeRuntime } from '../support/fake-runtime.ts'
import { heldPlace } from '../support/held-place.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine
let cron: Cron
let folder: string
let notes: string[]
let others: Cron[]

/** Looks for what is due twenty times a second. */
const quick: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 50), signal),
}
/** Nothing is due by itself while a test goes. */
const job = (label: string, run: string, more: Partial<CronJob> = {}): CronJob => {
  return { label, run, schedule: '0 0 29 2 *', timezone: 'UTC', timeoutMs: 20_000, ...more }
}
const file = (name: string): string => join(folder, name)
/** A job that says in a file that it was run. */
const counting = (label: string): CronJob => job(label, `echo ran >> ${file(label)}; echo hello`)
const countOf = async (label: string): Promise<number> =>
  (await readFile(file(label), 'utf8').catch(() => '')).split('\n').length - 1

interface Options extends Partial<Pick<Parameters<typeof makeCron>[0], 'place' | 'memory'>> {
  readonly slots?: number
  /** In the place of the engine's. */
  readonly run?: FakeRuntime['run']
}

function make({ slots = 4, place = heldPlace, run, ...options }: Options = {}): Cron {
  const { db, runtime } = spine
  const made = makeCron({
    ...{ db, place, clock: quick, logger: silentLogger, ...options },
    runtime: run === undefined ? runtime : { ...runtime, run },
    deploys: {
      readSpec: (id) => spine.deploys.readSpec(id),
      wantedMemory: (...of) => spine.deploys.wantedMemory(...of),
    },
    slots: makeSlots(slots),
    note: (at, text) => void notes.push(`${at.environment} v${at.release}: ${text}`),
  })
  others.push(made)
  return made
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-cron-'))
  notes = []
  others = []
  spine = await makeSpine({ onLive: (tx, live) => cron.replaceJobs(tx, live) })
  cron = make()
})
afterEach(async () => {
  await Promise.all(others.map((one) => one.stop()))
  await spine.close()
  await rm(folder, { recursive: true })
})

const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 20_000; !(await done()); await systemClock.sleep(20)) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}
const idOf = async (name: 'test' | 'live' = 'test'): Promise<number> => (await spine.environment(name)).id
const live = async (jobs: readonly CronJob[], commit = 'a'): Promise<void> => {
  spine.config = { ...spine.config, cron: jobs }
  expect((await spine.log(await spine.deploy('test', commitOf(commit)))).at(-1)).toMatch(/status=live$/)
}
const makeDue = async (label: string, ago: string): Promise<void> => {
  // Not every minute: the one that begins while a test goes would be due, too.
  await spine.db.query(
    `update cron_jobs set next_due_at = date_trunc('minute', now() - $2::interval),
       schedule = (
         select string_agg(distinct extract(minute from (now() - n * interval '1 minute') at time zone 'UTC')::int::text, ',')
         from generate_series(0, least(59, (extract(epoch from $2::interval) / 60)::int)) as n
       ) || ' * * * *'
     where label = $1`,
    [label, ago],
  )
}
type Row = Pick<CronRun, 'label' | 'state' | 'exitCode' | 'error'>
const runs = (): Promise<Row[]> =>
  spine.db.query('select label, state, exit_code as "exitCode", error from cron_runs order by id')
const untilEnded = (count: number): Promise<void> =>
  until('the runs have ended', async () => {
    const all = await runs()
    return all.length >= count && all.every(({ state }) => state !== 'waiting' && state !== 'running')
  })
const events = (): Promise<{ kind: string; data: Record<string, unknown> }[]> =>
  spine.db.query(`select kind, data from events where kind like 'cron.%' order by id`)
const noMemory: Options['memory'] = {
  assertForStart: () => Promise.reject(new SlipwayError('unavailable', 'The server has too little memory.')),
}
const done = { state: 'succeeded', exitCode: 0, error: null }
const containers = (): string[] => spine.runtime.names().filter((name) => name.includes('cron'))

describe('jobs of what serves', () => {
  it('come with a deploy, go with the next, and lose no time when they stay as they were', async () => {
    await live([job('a', 'true'), job('b', 'true', { schedule: '@hourly', timezone: 'Europe/Berlin' })])
    const id = await idOf()
    const [a, b] = await cron.list(id)
    expect([a, b]).toMatchObject([
      { label: 'a', schedule: '0 0 29 2 *', timezone: 'UTC', run: 'true', last: null },
      { label: 'b', schedule: '@hourly', timezone: 'Europe/Berlin' },
    ])
    expect(b?.nextAt?.getTime()).toBeGreaterThan(Date.now())
    await spine.db.query(`update cron_jobs set next_due_at = now() - interval '1 minute'`)
    await live(
      [job('a', 'true', { schedule: '@daily' }), job('b', 'false', { schedule: '@hourly', timezone: 'Europe/Berlin' })],
      'b',
    )
    const again = await cron.list(id)
    // It changed: from now on. It did not: what was due is due.
    expect(again[0]?.nextAt?.getTime()).toBeGreaterThan(Date.now())
    expect(again[1]?.nextAt?.getTime()).toBeLessThan(Date.now())
    await live([], 'c')
    expect(await cron.list(id)).toEqual([])
  })

  it('run when they are due, in a container that is gone afterwards', async () => {
    await live([counting('a'), counting('b')])
    await makeDue('a', '0 seconds')
    cron.start()
    await untilEnded(1)
    await until('its container is gone', async () => containers().length === 0)
    expect(await runs()).toEqual([{ label: 'a', ...done }])
    expect([await countOf('a'), await countOf('b')]).toEqual([1, 0])
    expect((await spine.db.query<{ tail: string[] }>('select tail from cron_runs'))[0]?.tail).toEqual(['hello'])
    expect(await events()).toEqual([])
    const [a] = await cron.list(await idOf())
    expect(a?.last).toMatchObject({ state: 'succeeded', requestedBy: null })
    expect(a?.nextAt?.getTime()).toBeGreaterThan(Date.now())
  })

  it('are caught up once when they were missed for less than an hour, and not when for longer; that is told', async () => {
    await live([counting('a'), counting('b')])
    await makeDue('a', '10 minutes')
    await makeDue('b', '3 hours')
    await spine.db.query(`update cron_jobs set schedule = '0 0 29 2 *' where label = 'b'`)
    cron.start()
    await untilEnded(1)
    expect(await runs()).toEqual([{ label: 'a', ...done }])
    expect(await events()).toMatchObject([
      { kind: 'cron.missed', data: { label: 'b', count: 1, madeUp: false } },
      { kind: 'cron.missed', data: { label: 'a', count: 10, madeUp: true } },
    ])
  })

  it('do not overlap: one that still goes is skipped, and that is told', async () => {
    await live([job('slow', `until [ -e ${file('go')} ]; do sleep 0.05; done`)])
    cron.start()
    const asked = await cron.runNow(await idOf(), 'slow', 'ada')
    await until('it goes', async () => (await runs())[0]?.state === 'running')
    await spine.db.query(`update cron_runs set due_at = due_at - interval '2 minutes'`)
    await makeDue('slow', '0 seconds')
    await until('it is skipped', async () => (await runs()).length === 2)
    await expect(cron.runNow(await idOf(), 'slow', 'ada')).rejects.toMatchObject({ code: 'conflict' })
    const [listed] = await cron.list(await idOf())
    expect(listed).toMatchObject({ last: { id: asked.id, state: 'running' }, skippedAt: expect.any(Date) })
    expect(await cron.waitForEnd(await idOf(), asked.id, 10)).toBe(false)
    await writeFile(file('go'), '')
    await untilEnded(2)
    expect(await cron.waitForEnd(await idOf(), asked.id, 5_000)).toBe(true)
    expect(await runs()).toEqual([
      { label: 'slow', ...done },
      { label: 'slow', state: 'skipped', exitCode: null, error: 'Its last run was still going.' },
    ])
    expect(notes).toEqual(['test v1: cron.slow was not started: its last run is still going'])
    await cron.runNow(await idOf(), 'slow', 'ada')
    await untilEnded(3)
    // Something newer was made since.
    expect((await cron.list(await idOf()))[0]?.skippedAt).toBeNull()
  })

  it('wait for their turn when more are due than may go at once', async () => {
    await cron.stop()
    cron = make({ slots: 1 })
    await live(
      ['a', 'b', 'c'].map((label) => job(label, `echo in >> ${file('all')}; sleep 0.2; echo out >> ${file('all')}`)),
    )
    await spine.db.query(`update cron_jobs set next_due_at = date_trunc('minute', now())`)
    cron.start()
    await untilEnded(3)
    expect((await readFile(file('all'), 'utf8')).trim().split('\n')).toEqual(['in', 'out', 'in', 'out', 'in', 'out'])
  })
})

describe('a run', () => {
  it('that fails is an event, once an hour while it goes on, and so is that it succeeds again', async () => {
    await live([job('a', `echo trouble; [ -e ${file('well')} ] || exit 3`)])
    const id = await idOf()
    cron.start()
    const runOnce = async (): Promise<void> => {
      const { id: run } = await cron.runNow(id, 'a', 'ada')
      await until('it has ended', () => cron.waitForEnd(id, run, 1_000))
    }
    await runOnce()
    await runOnce()
    expect(await events()).toMatchObject([
      {
        kind: 'cron.failed',
        data: { label: 'a', failures: 1, exitCode: 3, message: 'It ended with exit code 3.', tail: ['trouble'] },
      },
    ])
    await spine.db.query(`update cron_jobs set failure_told_at = failure_told_at - interval '61 minutes'`)
    await runOnce()
    await writeFile(file('well'), '')
    await runOnce()
    await runOnce()
    expect((await events()).slice(1)).toMatchObject([
      { kind: 'cron.failed', data: { failures: 3 } },
      { kind: 'cron.recovered', data: { label: 'a', failures: 3 } },
    ])
  })

  it('that takes too long is stopped', async () => {
    await live([job('a', 'sleep 20', { timeoutMs: 300 })])
    cron.start()
    await cron.runNow(await idOf(), 'a', 'ada')
    await untilEnded(1)
    expect((await runs())[0]).toMatchObject({ state: 'failed', error: expect.stringContaining('its time limit') })
  })

  it('is refused when there is no memory for it, and says so', async () => {
    await cron.stop()
    const poor = make({ memory: noMemory })
    await live([counting('a')])
    poor.start()
    await poor.runNow(await idOf(), 'a', 'ada')
    await untilEnded(1)
    expect((await runs())[0]).toMatchObject({ state: 'failed', error: 'The server has too little memory.' })
    expect(await countOf('a')).toBe(0)
  })

  it('gives back what it was to have of the memory when it has ended, however that was', async () => {
    await cron.stop()
    let [most, taken] = [0, 0]
    const memory: Options['memory'] = {
      async assertForStart() {
        most = Math.max(most, (taken += 1))
        return () => void (taken -= 1)
      },
    }
    cron = make({ memory })
    await live([job('a', 'true'), job('b', 'exit 3')])
    cron.start()
    for (const label of ['a', 'b']) await cron.runNow(await idOf(), label, 'ada')
    await untilEnded(2)
    expect([most > 0, taken]).toEqual([true, 0])
  })

  it('is asked for again when the engine was away, made once, and what it printed is kept once', async () => {
    await cron.stop()
    let isAway = true
    cron = make({
      async run(...given) {
        const exit = await spine.runtime.run(...given)
        if (!isAway) return exit
        isAway = false
        throw new SlipwayError('unavailable', 'The Docker engine does not answer.')
      },
    })
    await live([counting('a')])
    cron.start()
    await cron.runNow(await idOf(), 'a', 'ada')
    await untilEnded(1)
    expect([isAway, await runs(), await countOf('a')]).toEqual([false, [{ label: 'a', ...done }], 1])
    expect(await spine.db.query('select tail from cron_runs')).toEqual([{ tail: ['hello'] }])
  })

  it('does not start with a value that was revoked while the engine was away', async () => {
    await cron.stop()
    const { id: environmentId, appId } = await spine.environment('test')
    const leaked = { name: 'KEY', value: 'a-value-that-leaked' }
    await spine.vars.change(environmentId, { set: [leaked], unset: [] }, 'ada')
    const given: unknown[] = []
    cron = make({
      async run(container, ...rest) {
        const value = container.env['KEY']
        given.push(typeof value === 'object' ? value.reveal() : value)
        if (given.length > 1) return spine.runtime.run(container, ...rest)
        const wish = { appId, environmentId, environment: 'test', name: 'KEY', release: null, value: 'another one' }
        await spine.revocation.revoke(wish, 'ada')
        throw new SlipwayError('unavailable', 'The Docker engine does not answer.')
      },
    })
    await live([counting('a')])
    cron.start()
    await cron.runNow(environmentId, 'a', 'ada')
    await untilEnded(1)
    expect([given, await runs()]).toEqual([['a-value-that-leaked', 'another one'], [{ label: 'a', ...done }]])
  })

  it('says that it was killed for its memory', async () => {
    await cron.stop()
    cron = make({ run: async () => ({ exitCode: 137, outOfMemory: true }) })
    await live([job('a', 'true')])
    cron.start()
    await cron.runNow(await idOf(), 'a', 'ada')
    await untilEnded(1)
    expect((await runs())[0]).toMatchObject({
      exitCode: 137,
      error: expect.stringContaining('more than 64 MB of memory'),
    })
  })

  it('has its time from when it was begun, whoever goes on with it', async () => {
    await live([job('a', 'sleep 4')])
    await cron.runNow(await idOf(), 'a', 'ada')
    await spine.db.query(`update cron_runs set state = 'running', started_at = now() - interval '1 hour'`)
    cron.start()
    await untilEnded(1)
    expect((await runs())[0]).toMatchObject({ state: 'failed', error: expect.stringContaining('its time limit') })
  })

  it('is not begun any more in an environment that is being removed', async () => {
    await live([counting('a'), counting('b')])
    await cron.runNow(await idOf(), 'a', 'ada')
    await spine.db.query(`update environments set state = 'removing' where id = $1`, [await idOf()])
    cron.start()
    await systemClock.sleep(300)
    expect([(await runs())[0]?.state, await countOf('a'), containers()]).toEqual(['waiting', 0, []])
  })

  it('goes to its end when another release takes the place of its own', async () => {
    await live([job('a', `until [ -e ${file('go')} ]; do sleep 0.05; done; echo ran >> ${file('a')}`)])
    cron.start()
    const { id } = await cron.runNow(await idOf(), 'a', 'ada')
    await until('it goes', async () => containers().length === 1)
    await live([], 'b')
    await until('v1 is retired', async () => !spine.runtime.names().includes('slw-spine-test--shop-v1-1'))
    await spine.deploys.reconcile()
    expect(containers()).toEqual([`slw-spine-test--shop-v1-cron-${id}`])
    await writeFile(file('go'), '')
    await untilEnded(1)
    expect([await runs(), await countOf('a')]).toEqual([[{ label: 'a', ...done }], 1])
  })

  it('ends with its environment', async () => {
    await live([job('a', 'sleep 20')])
    cron.start()
    await cron.runNow(await idOf(), 'a', 'ada')
    await until('it goes', async () => containers().length === 1)
    await cron.end(await idOf(), AbortSignal.timeout(10_000))
    expect((await runs())[0]).toMatchObject({ state: 'failed', error: 'Its environment was removed.' })
    expect(containers()).toEqual([])
  })

  it('is not begun where nothing runs, or for a job that is not there', async () => {
    const id = await idOf('live')
    await expect(cron.runNow(id, 'a', 'ada')).rejects.toMatchObject({ code: 'conflict' })
    await live([counting('a')])
    await expect(cron.runNow(await idOf(), 'b', 'ada')).rejects.toMatchObject({ code: 'not_found', hint: 'It has: a' })
    await spine.db.query(`update environments set state = 'stopped' where id = $1`, [await idOf()])
    await expect(cron.runNow(await idOf(), 'a', 'ada')).rejects.toMatchObject({ code: 'conflict' })
    await makeDue('a', '2 minutes')
    cron.start()
    await until('its time has passed', async () => {
      const rows = await spine.db.query<{ later: boolean }>('select next_due_at > now() as later from cron_jobs')
      return rows[0]?.later === true
    })
    expect([await runs(), await events(), (await cron.list(await idOf()))[0]?.nextAt]).toEqual([[], [], null])
  })
})

describe('a server that ends', () => {
  it('leaves its runs to the next one, which makes none of them twice', async () => {
    await live([
      job('a', `echo ran >> ${file('a')}; echo one; until [ -e ${file('go')} ]; do sleep 0.05; done; echo two`),
    ])
    cron.start()
    const { id } = await cron.runNow(await idOf(), 'a', 'ada')
    await until('it goes', async () => (await countOf('a')) === 1)
    await cron.stop()
    expect((await runs())[0]?.state).toBe('running')
    // Its container has the memory already.
    cron = make({ memory: noMemory })
    cron.start()
    await systemClock.sleep(200)
    await writeFile(file('go'), '')
    await untilEnded(1)
    expect(await cron.waitForEnd(await idOf(), id, 2_000)).toBe(true)
    expect([await runs(), await countOf('a'), containers()]).toEqual([[{ label: 'a', ...done }], 1, []])
  })

  it('and wakes beside the next one, claims nothing that was claimed and begins nothing', async () => {
    const labels = Array.from({ length: 30 }, (_, i) => `j${i}`)
    await live(labels.map(counting))
    let isLost = false
    const term = async (): Promise<void> => {
      if (isLost) throw new SlipwayError('unavailable', 'The place was lost.')
    }
    const frozen = make({ place: { term: () => term } })
    await spine.db.query(`update cron_jobs set schedule = '* * * * *', next_due_at = date_trunc('minute', now())`)
    // Both claim at once.
    frozen.start()
    cron.start()
    isLost = true
    await untilEnded(30)
    expect(await Promise.all(labels.map(countOf))).toEqual(labels.map(() => 1))
    expect(await runs()).toHaveLength(30)
  })

  it('has recorded a run and begun no container: the next one begins it', async () => {
    await live([counting('a')])
    await cron.runNow(await idOf(), 'a', 'ada')
    await spine.db.query(`update cron_runs set state = 'running', started_at = now()`)
    cron.start()
    await untilEnded(1)
    expect([await runs(), await countOf('a')]).toEqual([[{ label: 'a', ...done }], 1])
  })
})

describe('what is over', () => {
  it('leaves no container, also when Slipway ended before it could remove one', async () => {
    await live([counting('a')])
    const { id } = await cron.runNow(await idOf(), 'a', 'ada')
    const [{ deployId } = { deployId: 0 }] = await spine.db.query<{ deployId: number }>(
      'select deploy_id as "deployId" from cron_runs',
    )
    const spec = (await spine.deploys.readSpec(deployId)).job({ runId: id, label: 'a' })
    await spine.runtime.start(spec, AbortSignal.timeout(5_000))
    await spine.db.query(`update cron_runs set state = 'failed', finished_at = now()`)
    expect(containers()).toHaveLength(1)
    cron.start()
    await until('it is gone', async () => containers().length === 0)
    expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v1-1'])
  })

  it('is forgotten after so many days, but not what still goes', async () => {
    await live([counting('a'), counting('b'), counting('c')])
    const id = await idOf()
    for (const label of ['a', 'b', 'c']) await cron.runNow(id, label, 'ada')
    await spine.db.query(
      `update cron_runs set state = 'succeeded', finished_at = now() - interval '91 days' where label = 'a'`,
    )
    await spine.db.query(
      `update cron_runs set state = 'succeeded', finished_at = now() - interval '89 days' where label = 'b'`,
    )
    expect(await forgetOldRuns(spine.db, 90, AbortSignal.timeout(5_000))).toEqual({ runs: 1 })
    expect((await runs()).map(({ label }) => label)).toEqual(['b', 'c'])
  })
})

describe('ten thousand jobs', () => {
  it('are looked at through an index', async () => {
    await live([counting('a')])
    await spine.db.query(
      `insert into cron_jobs (environment_id, label, schedule, timezone, run, next_due_at)
       select environment_id, 'x' || n, '@daily', 'UTC', 'true', now() + n * interval '1 second'
       from cron_jobs, generate_series(1, 10000) as n`,
    )
    await spine.db.query('analyze cron_jobs')
    const plan = await spine.db.query<{ 'QUERY PLAN': string }>(
      `explain select * from cron_jobs where next_due_at <= now() order by next_due_at limit 200`,
    )
    expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain('cron_jobs_due')
  })

  it('are listed without reading those of a job that runs every minute', async () => {
    await live([job('a', 'true')])
    await spine.db.query(
      `insert into cron_runs (environment_id, deploy_id, label, due_at, state, finished_at)
       select environment_id, id, l.label, now() - n * interval '1 minute', 'succeeded', now()
       from deploys, (values ('often'), ('rare')) as l (label), generate_series(1, 20000) as n
       where l.label = 'often' or n % 5000 = 0`,
    )
    await spine.db.query('analyze cron_runs')
    const asked: string[] = []
    const recording = { query: async (sql: string) => (asked.push(sql), []) }
    await listRuns(recording, 0, { limit: 20 })
    const values = [await idOf(), null, null, null, null, 20]
    const plan = await spine.db.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off) ${asked[0]}`, values)
    const text = plan.map((row) => row['QUERY PLAN']).join('\n')
    expect(text).not.toContain('Seq Scan on cron_runs')
    expect(Math.max(...[...text.matchAll(/rows=(\d+) loops/g)].map(([, rows]) => Number(rows)))).toBeLessThan(100)
    const listed = await listRuns(spine.db, await idOf(), { limit: 20 })
    expect(listed.map(({ label }) => label)).toEqual(Array.from({ length: 20 }, () => 'often'))
    expect((await listRuns(spine.db, await idOf(), { limit: 20, label: 'rare' })).length).toBe(4)
  })
})
