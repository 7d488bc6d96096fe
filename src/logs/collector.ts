import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import { makeSlots } from '../kernel/slots.ts'
import { type Instance, labelNames, type Runtime } from '../runtime/index.ts'
import type { Masks } from '../vars/index.ts'
import { makeBudget } from './budget.ts'
import { followContainer, type Pace } from './follow-container.ts'
import type { Journals } from './journals.ts'
import { type Printer, printerOf } from './place.ts'
import { makeStateNotes } from './state-notes.ts'

/** Follows what the containers of all releases print, and keeps it. */
export interface LogCollector {
  /** Begins; ends with the signal. What was printed while Slipway was away and the engine still has is kept too. */
  start(signal: AbortSignal): void
  /**
   * Resolves when everything that a container which has ended printed is kept, or the time for that is over. Called before
   * it is removed. Never rejects.
   */
  settled(containerId: string): Promise<void>
  /** Called before Slipway stops a container: its log says so. */
  expectEnd(containerId: string): void
}

export interface CollectorOptions {
  readonly runtime: Pick<Runtime, 'readLog' | 'inspect' | 'list' | 'watch'>
  readonly journals: Journals
  /** The secrets of a release are replaced in all that is kept; without it nothing is. */
  readonly masks?: Pick<Masks, 'ofRelease'>
  readonly clock: Clock
  readonly logger: Logger
  readonly perSecond?: { readonly instance: number; readonly all: number }
}

/** A removal waits so long at most: the engine reads 30 MB, which is all that it keeps, in about 2 s. */
const settleMs = 5_000
const longestWaitMs = 5_000
/** An engine (20.10) that has just come back leaves streams hanging that were opened before it was quite there. */
const reopenAfterMs = 3_000
/**
 * A line of 100 bytes costs about 4 µs here: an app that floods must not take the processor from deploys. The engine keeps 30 MB
 * of what is not yet read.
 */
const defaultPerSecond = { instance: 2 * 1024 * 1024, all: 4 * 1024 * 1024 }
const burstSeconds = 8
/** At a start hundreds look for where they go on; each holds some of its journal in memory. */
const resumingAtOnce = 4

interface Followed {
  readonly printer: Printer
  /** Resolves when its output was read to the end. */
  readonly done: Promise<void>
  /** When the container that was read had been started: one that starts again is read again. */
  startedAt: number | null
  ended: boolean
  again: boolean
  readonly pace: Pace
}

export function makeLogCollector(options: CollectorOptions): LogCollector {
  const { runtime, clock, logger } = options
  const perSecond = options.perSecond ?? defaultPerSecond
  const all = makeBudget({ clock, perSecond: perSecond.all, burst: perSecond.all * burstSeconds })
  const followed = new Map<string, Followed>()
  const notes = makeStateNotes(options)
  const shared = { ...options, notes, resuming: makeSlots(resumingAtOnce) }
  let over: AbortSignal = AbortSignal.abort()

  function begin(instance: Instance): void {
    const { containerId } = instance
    const found = followed.get(containerId)
    const startedAt = instance.startedAt?.getTime() ?? null
    if (instance.state === 'created' || over.aborted) return
    if (found !== undefined && (!found.ended || found.startedAt === startedAt)) {
      found.again ||= found.startedAt !== startedAt
      return
    }
    const printer = printerOf(instance)
    if (printer === null) return
    const own = makeBudget({ clock, perSecond: perSecond.instance, burst: perSecond.instance * burstSeconds })
    const pace: Pace = { hurry: false, reopen: new AbortController() }
    const releaseId = Number(instance.labels[labelNames.release])
    const of = { printer, containerId, releaseId }
    const work = followContainer({ ...shared, ...of, budgets: [own, all], pace, signal: over })
    const done = work.catch((error: unknown) => {
      if (!over.aborted) logger.error('a container’s output is not kept', { containerId, error })
    })
    const entry: Followed = { printer, done, startedAt, ended: false, again: false, pace }
    followed.set(containerId, entry)
    void entry.done.then(() => {
      entry.ended = true
      if (entry.again) void look(containerId)
    })
  }

  async function look(containerId: string): Promise<void> {
    const instance = await runtime.inspect(containerId).catch(() => null)
    if (instance !== null) begin(instance)
  }

  async function lookAtAll(signal: AbortSignal): Promise<void> {
    try {
      const instances = await runtime.list()
      const there = new Set(instances.map(({ containerId }) => containerId))
      for (const [id, { ended }] of followed) if (ended && !there.has(id)) followed.delete(id)
      instances.forEach(begin)
    } catch (error) {
      if (signal.aborted) return
      logger.warn('whose output is to be kept is not known yet', { error })
      await clock.sleep(longestWaitMs, signal).then(
        () => lookAtAll(signal),
        () => undefined,
      )
    }
  }

  return {
    start(signal) {
      over = signal
      let isBack = false
      runtime.watch((change) => {
        const { kind, containerId } = change
        notes.onChange(change, followed.get(containerId ?? '')?.printer)
        if (kind === 'resync') {
          void lookAtAll(signal)
          if (isBack) void reopenAll(followed, clock, signal)
          isBack = true
        }
        if (kind === 'started' && containerId !== null) void look(containerId)
        if (kind === 'removed' && containerId !== null) followed.delete(containerId)
      }, signal)
    },
    expectEnd: (containerId) => notes.expectEnd(containerId),
    async settled(containerId) {
      const read = async (): Promise<void> => {
        const instance = await runtime.inspect(containerId)
        // Whoever removes one that runs wants to be rid of it: nothing ends that could be waited for.
        if (instance === null || instance.state !== 'exited') return
        begin(instance)
        const entry = followed.get(containerId)
        if (entry === undefined) return
        entry.pace.hurry = true
        await entry.done
      }
      if (await isLate(read(), clock))
        logger.warn('the last output of a container may not be kept: reading it takes too long', { containerId })
    },
  }
}

/** Waits for the work, however it ends, but no longer than a removal waits. */
async function isLate(work: Promise<void>, clock: Clock): Promise<boolean> {
  const limit = new AbortController()
  const late = clock.sleep(settleMs, limit.signal).then(
    () => true,
    () => false,
  )
  const done = work.then(
    () => false,
    () => false,
  )
  return Promise.race([done, late]).finally(() => limit.abort())
}

async function reopenAll(followed: ReadonlyMap<string, Followed>, clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.sleep(reopenAfterMs, signal).catch(() => undefined)
  for (const { pace } of followed.values()) pace.reopen.abort()
}
