import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import { makeMutex } from '../kernel/mutex.ts'
import type { Database } from '../postgres/database.ts'
import { isDue, type TimeOfDay } from './schedule.ts'
import { findLastBegun, type Outcome, readNight, recordBegun, recordEnded, recordPart } from './store.ts'

export { forgetOldEvents, forgetOldRuns, removeOldLogs } from './old-rows.ts'
export { makeRetention, type Retention } from './retention.ts'
export { parseTimeOfDay } from './schedule.ts'
export { readNight } from './store.ts'

/*
 * What is done once a day at a quiet time. One row in the database says when it was last begun; a queue of jobs would add
 * nothing: there is one server (it holds a lock in the database), each part looks at what is there and can be broken off and
 * repeated, and what fails today is tried tomorrow.
 */

/** Looks at what is there, safe to repeat and to break off by the signal. Says what it did, as counts. */
export interface NightlyPart {
  readonly name: string
  readonly run: (signal: AbortSignal) => Promise<Outcome>
}

export interface Nightly {
  /** All parts now, one after the other; one that fails is told, and the next is done. Rejects only with the signal's reason. */
  run(signal: AbortSignal): Promise<void>
  /** Runs them each day from now on, until the signal fires; resolves when nothing is at work any more. */
  watch(signal: AbortSignal): Promise<void>
}

/** A start has other things to do. */
const graceMs = 2 * 60_000
const lookEveryMs = 60_000
/** So that many servers on one host, or with one registry, do not all begin at the same moment. */
const mostJitterMinutes = 30

export function makeNightly(deps: {
  db: Database
  parts: readonly NightlyPart[]
  at: TimeOfDay
  clock: Clock
  logger: Logger
  /** 0 to 1; where in the half hour it begins. */
  jitter?: number
}): Nightly {
  const { db, parts, clock, logger, jitter = Math.random() } = deps
  const at = { ...deps.at, minute: deps.at.minute + Math.floor(jitter * mostJitterMinutes) }
  const inTurn = makeMutex()

  const runPart = async (part: NightlyPart, signal: AbortSignal): Promise<void> => {
    const begunMs = clock.monotonicMs()
    const outcome = await part.run(signal).catch((error: unknown): Outcome => {
      signal.throwIfAborted()
      logger.error('a part of the nightly work failed; it is tried again the next night', { part: part.name, error })
      return { error: error instanceof Error ? error.message : String(error) }
    })
    await recordPart(db, part.name, { ...outcome, seconds: Math.round((clock.monotonicMs() - begunMs) / 1000) })
  }

  const run = (signal: AbortSignal): Promise<void> =>
    inTurn(async () => {
      signal.throwIfAborted()
      await recordBegun(db)
      for (const part of parts) {
        signal.throwIfAborted()
        await runPart(part, signal).catch((error: unknown) => {
          signal.throwIfAborted()
          logger.error('the nightly work could not be noted down', { part: part.name, error })
        })
      }
      await recordEnded(db)
      logger.info('the nightly work is done', { ...(await readNight(db))?.outcome })
    })

  return {
    run,
    async watch(signal) {
      try {
        for (let waitMs = graceMs; ; waitMs = lookEveryMs) {
          await clock.sleep(waitMs, signal)
          try {
            if (isDue(clock.now(), await findLastBegun(db), at)) await run(signal)
          } catch (error) {
            signal.throwIfAborted()
            logger.warn('the nightly work was not begun', { error })
          }
        }
      } catch (error) {
        if (!signal.aborted) throw error
      }
    },
  }
}
