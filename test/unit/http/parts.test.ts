import { describe, expect, it } from '@jest/globals'
import type { Deploy, Deploys } from '../../../src/deploys/index.ts'
import { renderMetrics } from '../../../src/http/metrics.ts'
import { makeReadiness } from '../../../src/http/readiness.ts'
import { healthOf, presentLast } from '../../../src/http/routes/status/presenter.ts'
import { makeRunningReleases } from '../../../src/http/running-releases.ts'
import { until } from '../../../src/http/streams.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import type { Instance } from '../../../src/runtime/index.ts'

describe('health of a release', () => {
  it.each([
    [['running'], 'up'],
    [['running', 'restarting'], 'partly'],
    [['stopped', 'restarting'], 'down'],
    [['running', 'starting'], 'up'],
    [['running', 'stopped', 'starting'], 'partly'],
    [['starting'], 'down'],
    [[], 'down'],
    [['running', 'unknown'], 'unknown'],
  ] as const)('%j is %s', (states, health) => {
    expect(healthOf(states)).toBe(health)
  })
})

describe('the last deploy', () => {
  const deploy = (id: number, state: Deploy['state'], endedS: number | null = null): Deploy =>
    ({
      id,
      state,
      from: null,
      createdAt: new Date(0),
      startedAt: null,
      finishedAt: endedS === null ? null : new Date(endedS * 1000),
    }) as Deploy
  const idOf = (...newestFirst: Deploy[]): number | undefined => presentLast(newestFirst)?.id

  it('is the one that runs, else the one that ended last, whoever came first', () => {
    expect(idOf(deploy(3, 'waiting'), deploy(2, 'running'), deploy(1, 'live', 9))).toBe(2)
    expect(idOf(deploy(3, 'live', 5), deploy(2, 'live', 9), deploy(1, 'live', 1))).toBe(2)
    expect(idOf(deploy(2, 'waiting'), deploy(1, 'live', 1))).toBe(1)
    expect(idOf(deploy(2, 'waiting'), deploy(1, 'waiting'))).toBe(2)
    expect(presentLast([])).toBeNull()
  })
})

describe('what runs', () => {
  const up = { downSince: null, crashLoopSince: null, endCount: 0, lastExitCode: null, lastOutOfMemory: false }
  const crash = { since: new Date(6), exitCode: 137, outOfMemory: true }
  const down = { ...up, downSince: crash.since, endCount: 1, lastExitCode: 137, lastOutOfMemory: true }
  const loops = { ...up, crashLoopSince: crash.since, endCount: 9, lastExitCode: 3 }
  const v12 = { deployId: 7, releaseNumber: 12, state: 'serving' }
  const v11 = { deployId: 6, releaseNumber: 11, state: 'draining' }
  const records = [
    { ...up, ...v12, process: 'web', position: 1, containerId: 'a', address: null },
    { ...down, ...v12, process: 'web', position: 2, containerId: 'b', address: null },
    { ...up, ...v12, process: 'web', position: 3, containerId: 'c', address: null },
    { ...up, ...v12, process: 'web', position: 4, containerId: 'a', address: '10.0.0.4', port: 80 },
    { ...loops, ...v12, process: 'web', position: 5, containerId: 'a', address: '10.0.0.5', port: 80 },
    { ...up, ...v12, process: 'worker', position: 1, containerId: 'a', address: '10.0.0.6', port: 80 },
    { ...up, downSince: new Date(2), ...v12, process: 'worker', position: 2, containerId: null, address: null },
    { ...up, ...v11, process: 'web', position: 1, containerId: 'old', address: null },
    {
      ...up,
      ...v11,
      ...{ deployId: 5, releaseNumber: 10 },
      process: 'web',
      position: 1,
      containerId: 'warm',
      address: null,
      warmLeftMs: 9,
    },
  ]
  const seen: Record<string, Partial<Instance> | null | Error> = {
    a: { state: 'running', restarts: 2, startedAt: new Date(5) },
    b: null,
    c: new SlipwayError('unavailable', 'The engine does not answer.'),
    old: { state: 'running', restarts: 0, startedAt: new Date(1) },
    warm: { state: 'running', restarts: 0, startedAt: new Date(1) },
  }

  it('is what serves and what drains beside it; an engine that says nothing makes an instance unknown, never gone', async () => {
    let since = new Date(1)
    const running = makeRunningReleases({
      reads: { findServing: async () => ({ releaseId: 3, deployId: 7, number: 12, commit: 'c', since }) },
      deploys: { listInstances: (async () => records) as unknown as Deploys['listInstances'] },
      runtime: {
        inspect: async (id) => {
          const found = seen[id]
          if (found instanceof Error) throw found
          return found as Instance | null
        },
      },
      listens: async ({ address }) => address === '10.0.0.5',
      readUse: async (id) => (id === 'old' ? { memoryBytes: 1024, cpuMs: (cpuMs += 100) } : null),
    })
    let cpuMs = 0
    const { serving, beside } = await running.find(1)
    expect(serving).toEqual({
      release: 12,
      commit: 'c',
      since: new Date(1),
      instances: [
        { name: 'v12 web.1', state: 'running', restarts: 2, startedAt: new Date(5), crash: null, use: null },
        {
          name: 'v12 web.2',
          state: 'crashed',
          restarts: 1,
          startedAt: null,
          crash: { ...crash, isLoop: false },
          use: null,
        },
        { name: 'v12 web.3', state: 'unknown', restarts: 0, startedAt: null, crash: null, use: null },
        { name: 'v12 web.4', state: 'silent', restarts: 2, startedAt: new Date(5), crash: null, use: null },
        {
          name: 'v12 web.5',
          state: 'running',
          restarts: 9,
          startedAt: new Date(5),
          crash: { since: new Date(6), exitCode: 3, outOfMemory: false, isLoop: true },
          use: null,
        },
        // Nobody listens on a worker's port, and one that was not started yet has not crashed.
        { name: 'v12 worker.1', state: 'running', restarts: 2, startedAt: new Date(5), crash: null, use: null },
        { name: 'v12 worker.2', state: 'stopped', restarts: 0, startedAt: null, crash: null, use: null },
      ],
    })
    const old = { name: 'v11 web.1', state: 'running', restarts: 0, startedAt: new Date(1), crash: null }
    expect(beside).toEqual([
      { release: 11, deployId: 6, state: 'draining', instances: [{ ...old, use: null }] },
      { release: 10, deployId: 5, state: 'warm', instances: [{ ...old, name: 'v10 web.1', use: null }] },
    ])
    since = new Date()
    const fresh = (await running.find(1)).serving?.instances.map(({ name, state }) => `${name} ${state}`)
    expect(fresh).toEqual(
      expect.arrayContaining(['v12 web.2 crashed', 'v12 worker.1 running', 'v12 worker.2 starting']),
    )
    const used = (await running.find(1, { use: true })).beside[0]?.instances[0]?.use
    expect(used?.memoryBytes).toBe(1024)
    // 100 ms of processor time between two looks that are 400 ms apart, or more on a busy machine.
    expect(used?.cpuPercent).toBeGreaterThan(0)
    expect(used?.cpuPercent).toBeLessThanOrEqual(26)
  })
})

describe('readiness', () => {
  it('a probe that hangs is given up, and the others are told', async () => {
    const begun = performance.now()
    const found = await makeReadiness([
      { name: 'database', check: async () => undefined },
      { name: 'engine', check: () => new Promise(() => undefined) },
    ])()
    expect(performance.now() - begun).toBeLessThan(20_000)
    expect(found.checks).toEqual([
      { name: 'database', ok: true },
      { name: 'engine', ok: false, reason: 'The engine did not answer within 2 s.' },
    ])
  })

  it('many askers at once cost one probe', async () => {
    let probes = 0
    const look = makeReadiness([{ name: 'x', check: async () => void (probes += 1) }])
    await Promise.all(Array.from({ length: 100 }, look))
    expect(probes).toBe(1)
  })
})

describe('a source and a signal', () => {
  it('ends at once when the signal fires, also when the source does not listen, and closes the source', async () => {
    let closed = false
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<number>>(() => undefined),
        return: async () => {
          closed = true
          return { done: true as const, value: undefined }
        },
      }),
    }
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 20)
    for await (const item of until(source, stop.signal)) throw new Error(`nothing should come, not ${item}`)
    expect(closed).toBe(true)
  })

  it('a failure passes, except after the signal', async () => {
    const failing = (signal: AbortSignal) =>
      (async () => {
        const source = (async function* () {
          yield 1
          throw new Error('broken')
        })()
        const seen: number[] = []
        for await (const item of until(source, signal)) seen.push(item)
      })()
    await expect(failing(new AbortController().signal)).rejects.toThrow('broken')
    await expect(failing(AbortSignal.abort())).resolves.toBeUndefined()
  })
})

it('metrics are Prometheus text, whatever labels hold', () => {
  const text = renderMetrics([
    { name: 'a', help: 'A.', type: 'gauge', samples: [{ labels: { x: 'q"\\' }, value: 1 }, { value: Number.NaN }] },
  ])
  expect(text).toBe('# HELP a A.\n# TYPE a gauge\na{x="q\\"\\\\"} 1\na 0\n')
})
