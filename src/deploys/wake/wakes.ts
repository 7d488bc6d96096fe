import { actAs, slipway } from '../../kernel/actor.ts'
import { makeBackground } from '../../kernel/background.ts'
import type { Clock } from '../../kernel/clock.ts'
import { isAway } from '../../kernel/errors.ts'
import { makeMutex } from '../../kernel/mutex.ts'
import { makeSlots, type Slots } from '../../kernel/slots.ts'
import { findExposures } from '../exposures-store.ts'
import type { Tools } from '../steps/index.ts'
import { decideAnswer, type ReleaseAnswer, type WakeRefusal } from './answer.ts'
import { type AskedRelease, findAskedRelease } from './asked-store.ts'
import { keepIdle } from './keep-idle.ts'
import { wakeRelease } from './wake.ts'

/** Releases that run only because somebody asks for them at their own address. */
export interface Wakes {
  /** What is said at a host (in lower case, without port); a release that sleeps is started, once, whoever asks. */
  ask(host: string): Promise<ReleaseAnswer>
  /** Whether it is being started now. What the database calls waking and is not, a dead server has left. */
  isWaking(releaseId: number): boolean
  /** From now on releases are woken, and put to sleep when nobody uses them. */
  start(): void
  /** What is being started is left to the next life of the server. */
  stop(): Promise<void>
}

/** Of all apps, and of one: whose releases take an hour to fail keeps nobody else's from starting. */
const startsAtOnce = { all: 4, app: 2 }
const mostInLine = { all: 40, app: 20 }
/** One that could not be woken is not tried again before this. */
const againMs = 30_000
/** What was away is back within seconds, and then its reason is wrong. */
const awayAgainMs = 5_000

export function makeWakes({
  tools,
  retire,
  idleMs,
}: {
  readonly tools: Tools
  readonly retire: (deployId: number) => void
  /** So long nobody must have used a release until it is stopped. */
  readonly idleMs: number
}): Wakes {
  const stop = new AbortController()
  const { signal } = stop
  const background = makeBackground({ logger: tools.logger, signal })
  const slots = makeSlots(startsAtOnce.all)
  const slotsOf = new Map<number, Slots>()
  const inTurn = makeMutex()
  /** By release: of which app. */
  const waking = new Map<number, number>()
  const countOf = (appId: number): number => [...waking.values()].filter((its) => its === appId).length
  const refusals = makeRefusals(tools.clock)
  let isStarted = false

  const wake = async (release: AskedRelease): Promise<void> => {
    const { releaseId, appId } = release
    const given: (() => void)[] = []
    const its = slotsOf.get(appId) ?? makeSlots(startsAtOnce.app)
    slotsOf.set(appId, its)
    try {
      for (const each of [its, slots]) given.push(await each.take(signal))
      const why = await wakeRelease({ tools, inTurn, retire, signal }, release)
      if (why !== null) refusals.add(releaseId, why)
    } catch (error) {
      refusals.add(releaseId, isAway(error) ? 'away' : 'failed')
      throw error
    } finally {
      for (const giveBack of given) giveBack()
      waking.delete(releaseId)
      if (countOf(appId) === 0) slotsOf.delete(appId)
    }
  }

  const rebuiltUrlOf = ({ label, rebuiltAs }: AskedRelease): string | null =>
    rebuiltAs === null ? null : tools.addresses.url(tools.addresses.releaseHost(label, rebuiltAs))
  const refuse = (release: AskedRelease, why: WakeRefusal): ReleaseAnswer => {
    return { kind: 'refused', release, why, rebuiltUrl: rebuiltUrlOf(release) }
  }

  const begin = (release: AskedRelease): ReleaseAnswer => {
    const { releaseId, appId } = release
    if (waking.has(releaseId)) return { kind: 'starting', release }
    const before = refusals.find(releaseId)
    if (before !== null) return refuse(release, before)
    const isFull = waking.size >= mostInLine.all || countOf(appId) >= mostInLine.app
    if (!isStarted || isFull) return refuse(release, 'busy')
    waking.set(releaseId, appId)
    background.run(
      'waking a release failed',
      actAs(slipway, () => wake(release)),
    )
    return { kind: 'starting', release }
  }

  return {
    async ask(host) {
      const asked = tools.addresses.readReleaseHost(host)
      const release = asked === null ? null : await findAskedRelease(tools.db, asked)
      if (release === null) return { kind: 'unknown' }
      const decision = decideAnswer(release, await findExposures(tools.db, release.environmentId))
      switch (decision) {
        case 'unknown':
          return { kind: 'unknown' }
        case 'gone':
          return { kind: 'gone', release, rebuiltUrl: rebuiltUrlOf(release) }
        case 'starting':
        case 'ending':
          return { kind: decision, release }
        case 'revoked':
          return refuse(release, 'revoked')
        case 'wake':
          return begin(release)
      }
    },
    isWaking: (releaseId) => waking.has(releaseId),
    start() {
      isStarted = true
      background.run('releases are not put to sleep any more', keepIdle({ tools, retire, idleMs }, signal))
    },
    async stop() {
      stop.abort()
      await background.settled()
    },
  }
}

/** Why releases were not woken a moment ago: nothing is tried again with each reload of the page that waits. */
function makeRefusals(clock: Clock): {
  add: (releaseId: number, why: WakeRefusal) => void
  find: (releaseId: number) => WakeRefusal | null
} {
  const refused = new Map<number, { readonly why: WakeRefusal; readonly untilMs: number }>()
  return {
    add(releaseId, why) {
      refused.set(releaseId, { why, untilMs: clock.monotonicMs() + (why === 'away' ? awayAgainMs : againMs) })
    },
    find(releaseId) {
      const nowMs = clock.monotonicMs()
      for (const [id, { untilMs }] of refused) if (untilMs <= nowMs) refused.delete(id)
      return refused.get(releaseId)?.why ?? null
    },
  }
}
