import { randomBytes } from 'node:crypto'
import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { violates } from '../postgres/index.ts'
import type { DeployLogs } from './log.ts'
import { drainAndRetire } from './retire.ts'
import { runDeploy } from './run-deploy.ts'
import { stopping, type Tools } from './steps/index.ts'
import * as store from './store.ts'

/** Lines, not slots: every environment runs at most one deploy, and all environments run at the same time. */
export interface Queue {
  /** Takes up what an earlier life of the server was doing, then whatever waits. */
  start(): Promise<void>
  /** Looks for deploys that can begin. Never waits on a timer: whoever queues or ends a deploy calls it. */
  wake(): void
  /** Ends the work on a running deploy; it records itself as cancelled. */
  interrupt(deployId: number, by: string): void
  /** Drains and retires a release in the background. */
  retire(releaseId: number): void
  /** Takes nothing new and lets go of what runs, without ending it. */
  stop(): Promise<void>
}

/** How long the queue waits for what is away (database, engine, proxy) until it tries again. */
const retryMs = { first: 250, longest: 5_000 }
/** What still goes on this long after `stop` is left to the next life of the server: all of it is safe to repeat. */
const stopGraceMs = 5_000

export function makeQueue({ tools, logs }: { tools: Tools; logs: DeployLogs }): Queue {
  const worker = randomBytes(6).toString('hex')
  const running = new Map<number, AbortController>()
  const retiring = new Set<number>()
  const work = new Set<Promise<void>>()
  const stop = new AbortController()
  let started = false
  let looking = false
  let unsure = false
  let again = false

  const background = (what: string, promise: Promise<void>): void => {
    const done: Promise<void> = promise
      .catch((error: unknown) => {
        if (!stop.signal.aborted) tools.logger.error(what, { error })
      })
      .finally(() => work.delete(done))
    work.add(done)
  }

  const retire = (releaseId: number): void => {
    if (retiring.has(releaseId)) return
    retiring.add(releaseId)
    const retired = persistently(tools, stop.signal, () => drainAndRetire(tools, releaseId, stop.signal))
    background(
      'retiring a release failed',
      retired.finally(() => retiring.delete(releaseId)),
    )
  }

  const begin = (deployId: number, takenUp: boolean): void => {
    const controller = new AbortController()
    running.set(deployId, controller)
    const run = async (): Promise<void> => {
      try {
        const { signal } = controller
        for (const id of await runDeploy(deployId, { tools, logs, worker, takenUp, signal })) retire(id)
      } finally {
        running.delete(deployId)
        wake()
      }
    }
    background('running a deploy failed', run())
  }

  const look = async (): Promise<void> => {
    again = false
    for (let id = await claim(); id !== null; id = await claim()) begin(id, false)
  }

  const claim = async (): Promise<number | null> => {
    for (;;) {
      if (stop.signal.aborted) return null
      try {
        // A claim whose answer was lost may have been made.
        const lost = unsure ? (await store.listOwnRunning(tools.db, worker)).find((id) => !running.has(id)) : undefined
        if (lost !== undefined) return lost
        unsure = false
        return await tools.db.transaction((tx) => store.claimNextDeploy(tx, worker))
      } catch (error) {
        if (violates(error, 'one_running_deploy')) continue
        unsure = true
        throw error
      }
    }
  }

  const wake = (): void => {
    // What waits from before is looked at by `start`, after what ran before was taken over.
    if (stop.signal.aborted || !started) return
    again = true
    if (looking) return
    looking = true
    const looked = persistently(tools, stop.signal, look).finally(() => {
      looking = false
      // Asked meanwhile: what came may be later than the last look.
      if (again) wake()
    })
    background('looking for deploys failed', looked)
  }

  return {
    async start() {
      for (const id of await store.takeOverRunningDeploys(tools.db, worker)) begin(id, true)
      started = true
      wake()
    },
    wake,
    interrupt(deployId, by) {
      running.get(deployId)?.abort(new SlipwayError('cancelled', `Cancelled by ${by}.`))
    },
    retire,
    async stop() {
      stop.abort(stopping)
      for (const controller of running.values()) controller.abort(stopping)
      await endWithin(stopGraceMs, Promise.all(work), tools)
    },
  }
}

/** Tries again until it is done: what is away (database, engine, proxy) is waited for, because nobody else would do it. */
async function persistently(tools: Tools, signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let waitMs = retryMs.first; ; waitMs = Math.min(waitMs * 2, retryMs.longest)) {
    try {
      return await attempt()
    } catch (error) {
      const { code } = asSlipwayError(error)
      if (signal.aborted || (code !== 'unavailable' && code !== 'timeout')) throw error
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
