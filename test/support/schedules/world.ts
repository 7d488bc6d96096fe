import type { AppConfig } from '../../../src/builds/index.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import type { AddressRange } from '../../../src/runtime/index.ts'
import { makeFakeRouter, type FakeRouter } from '../fake-router.ts'
import { type MemoryDatabase, makeMemoryDatabase } from '../memory-database/index.ts'
import type { Work } from '../memory-database/table.ts'
import { buildOfImage, type Engine, makeEngine, port } from './engine.ts'
import { makeRandom, type Random } from './random.ts'
import { makeTimeline, type Timeline } from './timeline.ts'

export type Place = 'database' | 'engine' | 'proxy' | 'app'
/** Whether a call goes wrong, and whether it takes effect all the same. */
export type Fault = 'before' | 'after' | null

/** What servers stand on, and what happens to it, all from one seed. */
export interface World {
  readonly seed: number
  readonly random: Random
  readonly timeline: Timeline
  readonly engine: Engine
  readonly database: MemoryDatabase
  readonly router: FakeRouter
  readonly range: AddressRange
  readonly base: Date
  readonly buildSlots: number
  readonly config: AppConfig
  /** What must not be, as it was found. */
  readonly violations: string[]
  readonly traces: string[]
  /** The releases that went live, in their order, of each environment. */
  readonly wentLive: Map<number, number[]>
  readonly violate: (what: string) => void
  readonly trace: (what: string) => void
  /** Something takes no time at all: not even a moment in which anything else may happen. */
  isPrompt(): boolean
  latencyMs(place: Place): number
  faultAt(place: Place): Fault
  awayError(place: Place): Error
  isSick(image: string): boolean
  failsToBuild(buildId: number): boolean
  /** Nothing goes wrong any more. */
  heal(): void
  /** Everything that is asked of this place fails for so long. */
  takeAway(place: Place, ms: number): void
  /** When something that was asked for went wrong last. */
  lastFaultMs: number
  /** What has not been done by then, although nothing was in its way, is not coming of itself. */
  readonly promptMs: number
  /** Before an effect and after it. False when time has stood still for so many of them that it never will go on. */
  onCall(place: Place): boolean
  /** Has this done at the `nth` time that this place is called from now on; null: any. */
  atCall(place: Place | null, nth: number, what: () => void): void
  onCommit(): void
  assertOwner(worker: string, deployId: number, what: string): void
  assertMayServe(worker: string, set: string): void
  /** No environment's route leads to nobody. */
  checkTraffic(): void
  /** Who holds the place of the server. */
  place: { isAlive(): boolean }
  look(): Work
  /** The server that began to work last, and when it took everything over. */
  newestTakeOver: { readonly worker: string; readonly atMs: number }
}

/** What a database that is away answers; only the pool can make it. */
export interface Options {
  readonly databaseAway: Error
  readonly tracing?: boolean
  /** What watches the database, or stands in for it. */
  readonly wrapDatabase?: (database: MemoryDatabase) => MemoryDatabase
}

const mostCallsAtOnce = 10_000

export function makeWorld(seed: number, options: Options): World {
  const random = makeRandom(seed)
  const timeline = makeTimeline()
  const base = new Date('2026-01-01T00:00:00Z')
  const faultRate = random.pick([0, 0, 0.005, 0.03])
  const slowness = random.pick([1, 3, 30])
  const promptness = random.pick([0.5, 0.8, 0.95])
  const awayUntil = new Map<Place, number>()
  const violations: string[] = []
  const traces: string[] = []
  const wentLive = new Map<number, number[]>()
  let isHealed = false
  let calls = 0
  let [lastMs, callsThen] = [0, 0]
  const countOf = new Map<Place | null, number>()
  const atCalls: { place: Place | null; count: number; what: () => void }[] = []

  const limit = (waited: Promise<void>): Promise<void> =>
    new Promise((resolve, reject) => {
      void waited.then(resolve)
      timeline.after(5_000, () => reject(options.databaseAway))
    })
  const bare = makeMemoryDatabase({ nowMs: () => base.getTime() + Math.floor(timeline.nowMs()), limit })
  const database = options.wrapDatabase?.(bare) ?? bare
  const { tables } = database
  const router = makeFakeRouter()
  const violate = (what: string): void => {
    if (violations.length < 20) violations.push(`${Math.round(timeline.nowMs())} ms: ${what}`)
    trace(`VIOLATED: ${what}`)
  }
  const trace = (what: string): void => {
    if (options.tracing === true) traces.push(`${timeline.nowMs().toFixed(1)} ${what}`)
  }
  const commitOf = (buildId: number): string =>
    tables.builds.select(database.look(), ({ id }) => id === buildId)[0]?.commit ?? ''
  const temper = { endsAtOnce: (image: string) => commitOf(buildOfImage(image)).startsWith('d') }
  const engine = makeEngine({ timeline, random, temper, base })
  const counted = new Set<number>()

  return {
    ...{ seed, random, timeline, base, engine, database, router, violations, traces, wentLive, violate, trace },
    place: { isAlive: () => false },
    lastFaultMs: Number.NEGATIVE_INFINITY,
    promptMs: slowness === 30 ? 8_000 : 2_500,
    newestTakeOver: { worker: '', atMs: 0 },
    range: { subnet: '127.0.0.0/27', reserved: ['127.0.0.1'] },
    buildSlots: 1 + random.below(2),
    config: configOf(random),
    look: () => database.look(),
    isPrompt: () => random.chance(promptness),
    latencyMs: () => random.next() ** 4 * 10 * slowness,
    faultAt(place) {
      if (isHealed || place === 'app') return null
      const isAway = (awayUntil.get(place) ?? 0) > timeline.nowMs()
      if (!isAway && !random.chance(faultRate)) return null
      this.lastFaultMs = Math.max(this.lastFaultMs, timeline.nowMs())
      if (isAway) return 'before'
      return random.chance(0.5) ? 'before' : 'after'
    },
    awayError: (place) =>
      place === 'database'
        ? options.databaseAway
        : new SlipwayError(random.chance(0.7) ? 'unavailable' : 'timeout', `The ${place} does not answer.`),
    isSick: (image) => commitOf(buildOfImage(image)).startsWith('e'),
    failsToBuild: (buildId) => commitOf(buildId).startsWith('f'),
    heal: () => void (isHealed = true),
    takeAway: (place, ms) => void awayUntil.set(place, timeline.nowMs() + ms),
    onCall(place) {
      calls += 1
      for (const each of [place, null]) {
        const count = (countOf.get(each) ?? 0) + 1
        countOf.set(each, count)
        for (const due of atCalls) if (due.place === each && due.count === count && !isHealed) due.what()
      }
      if (timeline.nowMs() > lastMs) [lastMs, callsThen] = [timeline.nowMs(), calls]
      if (calls - callsThen < mostCallsAtOnce) return true
      violate(`${mostCallsAtOnce} calls in no time`)
      return false
    },
    atCall: (place, nth, what) => void atCalls.push({ place, count: (countOf.get(place) ?? 0) + nth, what }),
    onCommit() {
      const live = tables.deploys.select(database.look(), (d) => d.state === 'live' && !counted.has(d.id))
      for (const d of live) {
        counted.add(d.id)
        const releases = wentLive.get(d.environment_id) ?? []
        wentLive.set(d.environment_id, [...releases, d.release_id as number])
      }
    },
    assertOwner(worker, deployId, what) {
      const [deploy] = tables.deploys.select(database.look(), ({ id }) => id === deployId)
      if (deploy?.state === 'running' && deploy.lease_owner === worker) return
      // A serving instance is started again by whoever compares.
      if (deploy?.state === 'live' && what.endsWith('container')) return
      violate(`${what} of deploy ${deployId}, which ${deploy?.lease_owner ?? 'nobody'} holds (${deploy?.state})`)
    },
    assertMayServe(worker, set) {
      const deployId = Number(set.slice(1))
      const isServed = tables.routes.select(database.look(), (row) => row.deploy_id === deployId).length > 0
      const own = tables.deploys.select(database.look(), (d) => d.id === deployId && d.state === 'running')
      if (!isServed && own[0]?.lease_owner !== worker)
        violate(`${worker} led traffic to ${set}, which it does not hold`)
    },
    checkTraffic() {
      void router.read().then(({ keys, sets }) => {
        for (const [key, to] of keys) {
          if (!key.startsWith('e')) continue
          const members = 'set' in to ? (sets.get(to.set) ?? []).slice(0, to.size) : []
          const serve = members.filter(({ address, port: asked }) => {
            const deploy = engine.isServing(address, asked)?.instance.labels['slipway.deploy']
            return 'set' in to && `d${deploy}` === to.set
          })
          if (members.length === 0 || serve.length < members.length)
            violate(`${key} leads to ${JSON.stringify(to)}, where nobody answers`)
        }
      })
    },
  }
}

function configOf(random: Random): AppConfig {
  const command = { label: 'migrate', run: 'true', on: ['deploy' as const], timeoutMs: 60_000 }
  return {
    build: { dockerfile: 'Dockerfile', context: '.', target: null, args: {}, builder: 'auto' },
    ...{ port, selfTests: [], drainMs: 2_000, stopMs: 100 },
    health: { path: null, status: { from: 200, to: 399 }, intervalMs: 500, timeoutMs: 1_000, deadlineMs: 1_500 },
    releaseCommands: random.chance(0.5) ? [] : [command, { ...command, label: 'second' }].slice(random.below(2)),
    resources: { memoryBytes: 64 * 1024 ** 2, cpus: 1, pids: 64 },
  }
}
