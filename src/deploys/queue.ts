import { randomBytes } from 'node:crypto'
import { actAs, slipway } from '../kernel/actor.ts'
import { makeBackground } from '../kernel/background.ts'
import { asSlipwayError, isAway } from '../kernel/errors.ts'
import { makeAgreements } from './agree.ts'
import { makeClaim } from './claim.ts'
import { keepHeartbeat } from './heartbeat.ts'
import { makeLease } from './lease.ts'
import * as line from './line-store.ts'
import type { DeployLogs } from './log.ts'
import { drainAndRetire } from './retire.ts'
import { runDeploy } from './run-deploy.ts'
import { ending, stopping, type Tools } from './steps/index.ts'
import { tellLine } from './tell-line.ts'

/** Lines, not slots: every environment runs at most one deploy, and all environments run at the same time. */
export interface Queue {
  /** Takes up what an earlier life of the server was doing, then whatever waits. */
  start(): Promise<void>
  /**
   * Looks for deploys that can begin and for those that somebody wants to end. Never waits on a timer: whoever queues, ends or
   * cancels a deploy calls it.
   */
  wake(): void
  /** Drains and retires what a deploy had started, in the background. */
  retire(deployId: number): void
  /** Takes nothing new and lets go of what runs, without ending it. */
  stop(): Promise<void>
}

/** How long the queue waits for what is away (database, engine, proxy) until it tries again. */
const retryMs = { first: 250, longest: 5_000 }
/** What still goes on this long after `stop` is left to the next life of the server: all of it is safe to repeat. */
const stopGraceMs = 5_000

interface QueueNeeds {
  readonly tools: Tools
  readonly logs: DeployLogs
  /** Of a deploy that has just gone live. Never rejects: what could not be started is started later. */
  readonly startWorkers: (deployId: number) => Promise<void>
}

export function makeQueue({ tools, logs, startWorkers }: QueueNeeds): Queue {
  const worker = randomBytes(6).toString('hex')
  const lease = makeLease({ ...tools, worker })
  const running = new Map<number, AbortController>()
  const stop = new AbortController()
  const background = makeBackground({ logger: tools.logger, signal: stop.signal })
  const claim = makeClaim(tools, worker, { isRunning: (id) => running.has(id), stopped: stop.signal })
  const agreements = makeAgreements({ db: tools.db, logs, wake: () => wake() })
  let started = false
  let looking = false
  let again = false

  const retire = oneByOne((deployId, ended) => {
    const retired = persistently(tools, stop.signal, () => drainAndRetire(tools, deployId, stop.signal))
    background.run('retiring a release failed', retired.finally(ended))
  })

  /** The new ones first; then the old ones are told to end. The line goes on meanwhile. */
  const changeWorkers = async (deployId: number, going: readonly number[]): Promise<void> => {
    if (!stop.signal.aborted) await startWorkers(deployId)
    for (const id of going) retire(id)
  }

  const begin = (deployId: number, { askedMs, takenUp }: { askedMs: number; takenUp: boolean }): void => {
    lease.hold(deployId, askedMs)
    const controller = new AbortController()
    running.set(deployId, controller)
    const run = async (): Promise<void> => {
      try {
        const { signal } = controller
        const going = await runDeploy(deployId, { tools, logs, lease, agreements, takenUp, signal })
        background.run('a deploy’s workers could not be started', changeWorkers(deployId, going))
      } finally {
        running.delete(deployId)
        wake()
      }
    }
    background.run('running a deploy failed', run())
  }

  const takeUp = (deployId: number, askedMs: number): void => begin(deployId, { askedMs, takenUp: true })

  const look = async (): Promise<void> => {
    again = false
    for (let claimed = await claim(); claimed !== null; claimed = await claim()) {
      begin(claimed.id, { askedMs: claimed.askedMs, takenUp: false })
      if (claimed.environmentId !== null) {
        background.run(
          'telling a line its places failed',
          tellPlaces(tools, logs, claimed.environmentId).then((told) => told && wake()),
        )
      }
    }
    await agreements.settle()
    for (const id of await line.listOwnToEnd(tools.db, worker)) running.get(id)?.abort(ending)
  }

  const wake = (): void => {
    // What waits from before is looked at by `start`, after what ran before was taken over.
    if (stop.signal.aborted || !started) return
    again = true
    if (looking) return
    looking = true
    const looked = actAs(slipway, () => persistently(tools, stop.signal, look)).finally(() => {
      looking = false
      // Asked meanwhile: what came may be later than the last look.
      if (again) wake()
    })
    background.run('looking for deploys failed', looked)
  }

  return {
    async start() {
      const askedMs = tools.clock.monotonicMs()
      for (const id of await line.takeOverRunning(tools.db, worker)) takeUp(id, askedMs)
      started = true
      background.run(
        'keeping the leases of deploys failed',
        keepHeartbeat({ tools, lease, running, takeUp, onBeat: wake, stopped: stop.signal }),
      )
      wake()
    },
    wake,
    retire,
    async stop() {
      stop.abort(stopping)
      for (const controller of running.values()) controller.abort(stopping)
      await endWithin(stopGraceMs, background.settled(), tools)
      await line
        .releaseLeases(tools.db, worker)
        .catch((error: unknown) => tools.logger.warn('the leases of deploys were not given back', { error }))
    },
  }
}

/** True when it held deploys that wait: the line may have come to one of them meanwhile. */
async function tellPlaces({ db }: Tools, logs: DeployLogs, environmentId: number): Promise<boolean> {
  const told = await db.transaction((tx) => tellLine(tx, logs, environmentId))
  for (const id of told) logs.notify(id)
  return told.length > 0
}

/**
 * What is at work on an id is not begun beside itself, but once more when it has ended: what went back to a deploy's instances, and was
 * replaced in its turn, asks for them a second time.
 */
function oneByOne(begin: (id: number, ended: () => void) => void): (id: number) => void {
  const busy = new Set<number>()
  const again = new Set<number>()
  const ask = (id: number): void => {
    if (busy.has(id)) return void again.add(id)
    busy.add(id)
    begin(id, () => {
      busy.delete(id)
      if (again.delete(id)) ask(id)
    })
  }
  return ask
}

/** Tries again until it is done: what is away (database, engine, proxy) is waited for, because nobody else would do it. */
async function persistently(tools: Tools, signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let waitMs = retryMs.first; ; waitMs = Math.min(waitMs * 2, retryMs.longest)) {
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted || !isAway(asSlipwayError(error))) throw error
      tools.logger.warn('the queue waits for what does not answer', { error })
      await tools.clock.sleep(waitMs, signal)
    }
  }
}

/** Resolves when the work has ended or the time is over, and leaves no timer behind. */
async function endWithin(ms: number, work: Promise<unknown>, { clock }: Tools): Promise<void> {
  const over = new AbortController()
  const limit = clock.sleep(ms, over.signal).catch(() => undefined)
  await Promise.race([work, limit])
  over.abort()
}
