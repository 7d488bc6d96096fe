import { describe, expect, it } from '@jest/globals'
import { crashLoopEnds, delayAfterStartMs } from '../../../../src/deploys/level/back-off.ts'
import { compareRoutes } from '../../../../src/deploys/level/compare-routes.ts'
import type { InstanceRecord, Route } from '../../../../src/deploys/instances.ts'
import { type Act, planReconcile, type There, type Wanted } from '../../../../src/deploys/level/plan-reconcile.ts'
import { routesOf } from '../../../../src/deploys/routes-of.ts'
import { makeAddresses, type Routes } from '../../../../src/routing/index.ts'
import type { Instance, SeenContainer } from '../../../../src/runtime/index.ts'

const hosts = makeAddresses({ domain: 'localhost', httpPort: 8080 })
const nowMs = Date.parse('2026-01-01T00:00:00Z')
const old = new Date(nowMs - 11 * 60_000)
const empty: Routes = { hosts: new Map(), keys: new Map(), sets: new Map() }

function record(id: number, fields: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    id,
    releaseId: id,
    releaseNumber: 1,
    deployId: id,
    environmentId: id,
    label: `e${id}`,
    live: false,
    process: 'web',
    position: 1,
    containerId: `c${id}`,
    address: `10.0.0.${id}`,
    port: 8080,
    state: 'serving',
    drainLeftMs: null,
    warmLeftMs: 0,
    stopMs: 1000,
    isRevoked: false,
    downSince: null,
    endCount: 0,
    lastExitCode: null,
    lastOutOfMemory: false,
    crashLoopSince: null,
    startAttempts: 0,
    startError: null,
    startDueMs: 0,
    variablesRevision: null,
    ...fields,
  }
}

function container(
  id: number,
  fields: Partial<SeenContainer> & { kind?: string; deploy?: number } = {},
): SeenContainer {
  const { kind = 'instance', deploy = id, ...rest } = fields
  const labels = { 'slipway.kind': kind, 'slipway.release': String(id), 'slipway.deploy': String(deploy) }
  return { containerId: `c${id}`, name: `slw-${id}`, labels, state: 'running', createdAt: old, ...rest }
}

function found(state: Instance['state'], fields: Partial<Instance> = {}): Instance {
  return {
    ...container(1),
    state,
    image: 'sha256:0',
    address: null,
    restarts: 0,
    isKept: true,
    exitCode: state === 'exited' ? 3 : null,
    outOfMemory: false,
    startedAt: null,
    ...fields,
  }
}

const routeOf = (i: InstanceRecord): Route => ({ ...i })
const routesFor = (instances: readonly InstanceRecord[]): Routes =>
  routesOf({
    routes: instances.filter((i) => i.state === 'serving').map(routeOf),
    instances,
    exposures: new Map(),
    hosts,
  })

function plan(wanted: Partial<Wanted>, there: Partial<There>) {
  const instances = wanted.instances ?? []
  const routes = wanted.routes ?? routesFor(instances)
  return planReconcile(
    {
      instances,
      routes,
      runningDeploys: new Set(),
      endedDeploys: new Set(),
      waking: new Set(),
      runs: new Set(),
      ...wanted,
    },
    { containers: [], looked: new Map(), listening: new Set(), routes, damages: [], nowMs, ...there },
  )
}
const acts = (differences: ReturnType<typeof plan>) => differences.map(({ act }) => act?.do ?? null)

describe('an instance that should serve', () => {
  const one = record(1)
  const isDown = record(1, { downSince: old })

  it.each<[string, InstanceRecord, Instance | null, (Act['do'] | null)[]]>([
    ['is gone: taken out and started', one, null, ['take-out', 'start']],
    ['has ended: taken out and started', one, found('exited'), ['take-out', 'start']],
    ['was never started: taken out and started', one, found('created'), ['take-out', 'start']],
    ['is restarted by the engine: taken out only', one, found('restarting'), ['take-out', null]],
    ['is down already: started', isDown, null, ['start']],
    ['was started a moment ago: waited for', { ...isDown, startDueMs: 900, startAttempts: 1 }, null, [null]],
    ['runs, whatever the list said: nothing', one, found('running'), []],
  ])('%s', (_, instance, looked, expected) => {
    expect(acts(plan({ instances: [instance] }, { looked: new Map([[1, looked]]) }))).toEqual(expected)
  })

  it('takes requests again when it listens, and not before', () => {
    const instances = [isDown]
    expect(acts(plan({ instances }, { containers: [container(1)], listening: new Set([1]) }))).toEqual(['bring-back'])
    expect(acts(plan({ instances }, { containers: [container(1)] }))).toEqual([])
  })

  it('says how it ended', () => {
    const why = (looked: Instance | null) => plan({ instances: [isDown] }, { looked: new Map([[1, looked]]) })[0]?.why
    expect(why(found('exited'))).toBe('It ended with exit code 3.')
    expect(why(found('exited', { exitCode: 137, outOfMemory: true }))).toBe('It needed more memory than it may have.')
    expect(why(null)).toBe('Somebody has removed it.')
  })

  it('that drains or starts is nobody’s concern here', () => {
    const instances = [record(1, { state: 'draining' }), record(2, { state: 'starting' })]
    expect(plan({ instances }, { looked: new Map([[1, null]]) })).toEqual([])
  })
})

describe('a release that somebody asked for', () => {
  const awake = record(1, { state: 'awake' })
  const waking = record(1, { state: 'waking' })

  it.each<[string, InstanceRecord, Partial<There>, (Act['do'] | null)[]]>([
    ['runs: left alone', awake, { containers: [container(1)] }, []],
    ['is gone: put to sleep, not started again', awake, { looked: new Map([[1, null]]) }, ['put-to-sleep']],
    ['has ended: the same', awake, { looked: new Map([[1, found('exited')]]) }, ['put-to-sleep']],
    ['was being woken by a server that is dead: ended', waking, {}, ['put-to-sleep']],
  ])('%s', (_, instance, there, expected) => {
    expect(acts(plan({ instances: [instance] }, there))).toEqual(expected)
  })

  it('keeps its container while it wakes, although the deploy that made it has ended', () => {
    const wanted = {
      instances: [waking],
      waking: new Set([waking.releaseId]),
      endedDeploys: new Set([waking.deployId]),
    }
    expect(acts(plan(wanted, { containers: [container(1)] }))).toEqual([])
  })
})

describe('the proxy', () => {
  const instances = [record(1)]

  it('that is as it should be is left alone', () => {
    expect(plan({ instances }, { containers: [container(1)] })).toEqual([])
  })

  it('that lost everything is told everything, a sentence for each entry', () => {
    const differences = plan({ instances }, { containers: [container(1)], routes: empty })
    expect(new Set(acts(differences))).toEqual(new Set(['level-routes']))
    expect(differences.map(({ what }) => what)).toEqual([
      'The host e1.localhost is missing in the proxy (wanted: e1)',
      'The host v0--e1.localhost is missing in the proxy (wanted: w1)',
      'The host v1--e1.localhost is missing in the proxy (wanted: r1)',
      'The route e1 is missing in the proxy (wanted: d1/1)',
      'The route r1 is missing in the proxy (wanted: d1/1)',
      'The set d1 is missing in the proxy (wanted: 10.0.0.1:8080)',
    ])
  })

  it('that knows more or other than the database is corrected', () => {
    const there: Routes = {
      ...routesFor(instances),
      keys: new Map([
        ['e1', { set: 'r9', size: 2 }],
        ['r1', { set: 'd1', size: 1 }],
        ['e9', { state: 'failed' }],
      ]),
    }
    expect(compareRoutes(routesFor(instances), there)).toEqual([
      'The route e1 leads to r9/2 (wanted: d1/1)',
      'The route e9 is in the proxy for nobody (failed)',
    ])
  })

  it('keeps its sites when the database knows none: it may be the wrong one', () => {
    const differences = plan({ instances: [], routes: empty }, { routes: routesFor(instances) })
    expect(differences).not.toEqual([])
    expect(acts(differences).filter((act) => act !== null)).toEqual([])
  })

  it('has its files written again', () => {
    const damages = ['The map file hosts is gone']
    expect(acts(plan({ instances }, { containers: [container(1)], damages }))).toEqual(['level-routes'])
  })
})

describe('containers', () => {
  const known = record(1)
  const base = { instances: [known], runningDeploys: new Set([5]), endedDeploys: new Set([4]) }
  const there = (more: SeenContainer) => ({ containers: [container(1), more], routes: routesFor([known]) })
  const young = new Date(nowMs - 9 * 60_000)

  it.each<[string, SeenContainer, (Act['do'] | null)[]]>([
    ['of a deploy that has ended go at once', container(9, { deploy: 4, createdAt: young }), ['remove-container']],
    ['of a deploy that runs stay', container(9, { deploy: 5 }), []],
    ['of a build belong to the builder', container(9, { deploy: 4, kind: 'build' }), []],
    ['that nobody knows go when they are old', container(9), ['remove-container']],
    ['that nobody knows stay while they are young', container(9, { createdAt: young }), [null]],
    ['of commands that nobody knows go when they are old', container(9, { kind: 'command' }), ['remove-container']],
    ['of the future are young', container(9, { createdAt: new Date(nowMs + 3_600_000) }), [null]],
  ])('%s', (_, more, expected) => {
    expect(acts(plan(base, there(more)))).toEqual(expected)
  })

  it('of a command that somebody runs stay as long as they are connected to it, and go at once when nobody is', () => {
    const labels = { 'slipway.kind': 'run', 'slipway.run': 'ab12' }
    const more = { ...container(9, { createdAt: young }), labels }
    expect(acts(plan({ ...base, runs: new Set(['ab12']) }, there(more)))).toEqual([])
    expect(acts(plan({ ...base, runs: new Set(['cd34']) }, there(more)))).toEqual(['remove-container'])
    expect(acts(plan({ instances: [] }, { containers: [more] }))).toEqual(['remove-container'])
  })

  it('stay when the database knows no instance at all', () => {
    const differences = plan({ instances: [] }, { containers: [container(1), container(2)] })
    expect(acts(differences)).toEqual([null, null])
  })

  it('of a deploy that failed and whose instances were not removed are removed together', () => {
    const left = record(2, { state: 'starting', deployId: 4 })
    const differences = plan({ ...base, instances: [known, left] }, { routes: routesFor([known]), containers: [] })
    expect(acts(differences)).toEqual(['end-instances'])
  })
})

describe('the back-off', () => {
  it('doubles from 1 s to 5 min', () => {
    const delays = Array.from({ length: 12 }, (_, n) => delayAfterStartMs(n + 1) / 1000)
    expect(delays).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
    expect(delayAfterStartMs(10_000)).toBe(300_000)
    expect(crashLoopEnds).toBe(5)
  })
})

/** Numbers from a seed, so that a world that fails can be made again. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface World {
  instances: InstanceRecord[]
  /** What the engine has of each container. */
  engine: Map<string, SeenContainer>
  routes: Routes
  runningDeploys: Set<number>
  endedDeploys: Set<number>
}

function randomWorld(seed: number): World {
  const random = makeRandom(seed)
  const states = ['serving', 'serving', 'serving', 'starting', 'draining'] as const
  const seen = ['running', 'running', 'running', 'exited', 'created', 'restarting'] as const
  const engine = new Map<string, SeenContainer>()
  const instances = Array.from({ length: 1 + random(6) }, (_, n) =>
    record(n + 1, {
      state: states[random(states.length)] as InstanceRecord['state'],
      downSince: random(4) === 0 ? old : null,
    }),
  )
  for (const { id } of [...instances, ...[11, 12, 13, 14].map((n) => record(n))]) {
    if (random(4) === 0) continue
    const kind = (['instance', 'instance', 'command', 'build'] as const)[random(id > 10 ? 4 : 1)] as string
    const createdAt = random(2) === 0 ? old : new Date(nowMs)
    engine.set(`c${id}`, container(id, { state: seen[random(seen.length)] as SeenContainer['state'], kind, createdAt }))
  }
  const routes = routesFor(instances)
  const keys = new Map([...routes.keys].filter(() => random(3) > 0))
  const endedDeploys = new Set([1, 2, 3, 4, 5, 6, 11, 12].filter(() => random(2) === 0))
  const runningDeploys = new Set([11, 12, 13].filter((id) => !endedDeploys.has(id) && random(2) === 0))
  return { instances, engine, routes: random(3) === 0 ? empty : { ...routes, keys }, runningDeploys, endedDeploys }
}

const asFound = (seen: SeenContainer | undefined): Instance | null =>
  seen === undefined ? null : found(seen.state, { containerId: seen.containerId })

function planOf(world: World) {
  const { instances, engine } = world
  const routes = routesFor(instances)
  const downs = instances.filter((i) => i.state === 'serving' && engine.get(`c${i.id}`)?.state !== 'running')
  const looked = new Map(downs.map((i) => [i.id, asFound(engine.get(`c${i.id}`))]))
  const back = instances.filter((i) => i.downSince !== null && engine.get(`c${i.id}`)?.state === 'running')
  const there = {
    containers: [...engine.values()],
    looked,
    listening: new Set(back.map((i) => i.id)),
    damages: [],
    nowMs,
  }
  return planReconcile({ ...world, routes, waking: new Set(), runs: new Set() }, { ...there, routes: world.routes })
}

/** What the effects do, on the world of the test. */
function apply(world: World, act: Act): void {
  const set = (id: number, fields: Partial<InstanceRecord>): void => {
    world.instances = world.instances.map((i) => (i.id === id ? { ...i, ...fields } : i))
  }
  if (act.do === 'take-out') set(act.instance.id, { downSince: old })
  if (act.do === 'bring-back') set(act.instance.id, { downSince: null })
  if (act.do === 'start') {
    world.engine.set(`c${act.instance.id}`, container(act.instance.id, { createdAt: new Date(nowMs) }))
    set(act.instance.id, { downSince: null, startAttempts: 1, startDueMs: 1000 })
  }
  if (act.do === 'end-instances') {
    for (const i of world.instances) if (i.deployId === act.deployId) world.engine.delete(`c${i.id}`)
    world.instances = world.instances.filter((i) => i.deployId !== act.deployId)
  }
  if (act.do === 'remove-container') world.engine.delete(act.containerId)
}

describe('any world', () => {
  it('is level after its plan was carried out, and what must not be touched was not', () => {
    let mended = 0
    for (let seed = 1; seed <= 3000; seed += 1) {
      const world = randomWorld(seed)
      const before = new Map(world.engine)
      const first = planOf(world)
      for (const { act } of first) if (act !== null) apply(world, act)
      if (world.instances.length > 0) world.routes = routesFor(world.instances)
      const second = planOf(world).filter(({ act }) => act !== null)
      expect({ seed, second }).toEqual({ seed, second: [] })
      for (const [id, seen] of before) {
        const deploy = Number(seen.labels['slipway.deploy'])
        const isOurs = world.runningDeploys.has(deploy) || seen.labels['slipway.kind'] === 'build'
        if (isOurs) expect({ seed, id, there: world.engine.has(id) }).toEqual({ seed, id, there: true })
        const serves = world.instances.some((i) => `c${i.id}` === id && i.state === 'serving')
        if (serves && seen.state === 'running') expect(world.engine.get(id)).toBe(seen)
      }
      mended += first.length
    }
    // The worlds were worth the time.
    expect(mended).toBeGreaterThan(3000)
  })
})
