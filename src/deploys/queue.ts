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

export function makeQueue({ tools, logs }: { tools: Tools; logs: DeployLogs }): Queue {
  const worker = randomBytes(6).toString('hex')
  const running = new Map<number, AbortController>()
  const work = new Set<Promise<void>>()
  const stop = new AbortController()
  let looking = false
  let again = false

  const background = (what: string, promise: Promise<void>): void => {
    const done: Promise<void> = promise
      .catch((error: unknown) => {
        if (!stop.signal.aborted) tools.logger.error(what, { error })
      })
      .finally(() => work.delete(done))
    work.add(done)
  }

  const retire = (releaseId: number): void =>
    background('retiring a release failed', drainAndRetire(tools, releaseId, stop.signal))

  const begin = (deployId: number): void => {
    const controller = new AbortController()
    running.set(deployId, controller)
    const run = async (): Promise<void> => {
      try {
        for (const releaseId of await runUntilRecorded(deployId, controller.signal)) retire(releaseId)
      } finally {
        running.delete(deployId)
        wake()
      }
    }
    background('running a deploy failed', run())
  }

  /** While the database is away the end of a deploy cannot be recorded: it is taken up again where it was, until it can. */
  const runUntilRecorded = async (deployId: number, signal: AbortSignal): Promise<number[]> => {
    for (;;) {
      try {
        return await runDeploy(deployId, { tools, logs, worker, signal })
      } catch (error) {
        if (stop.signal.aborted || asSlipwayError(error).code !== 'unavailable') throw error
        tools.logger.warn('a deploy waits for the database', { deployId, error })
        await tools.clock.sleep(1000, stop.signal)
      }
    }
  }

  const look = async (): Promise<void> => {
    do {
      again = false
      for (;;) {
        const id = await claim()
        if (id === null) break
        begin(id)
      }
    } while (again && !stop.signal.aborted)
  }

  const claim = async (): Promise<number | null> => {
    for (;;) {
      if (stop.signal.aborted) return null
      try {
        return await tools.db.transaction((tx) => store.claimNextDeploy(tx, worker))
      } catch (error) {
        if (!violates(error, 'one_running_deploy')) throw error
      }
    }
  }

  const wake = (): void => {
    if (stop.signal.aborted) return
    again = true
    if (looking) return
    looking = true
    background(
      'looking for deploys failed',
      look().finally(() => (looking = false)),
    )
  }

  return {
    async start() {
      for (const id of await store.takeOverRunningDeploys(tools.db, worker)) begin(id)
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
      await Promise.all(work)
    },
  }
}
