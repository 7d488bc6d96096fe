import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Runtime } from '../runtime/index.ts'
import type { Masks } from '../vars/index.ts'
import { makeLogCollector } from './collector.ts'
import { makeFailedAnswers } from './failed-answers.ts'
import { makeJournals } from './journals.ts'
import { keepRequests } from './keep-requests.ts'
import { keepLogs } from './kept-runtime.ts'
import { encodeNote } from './line.ts'
import { makeRuntimeLogs } from './read.ts'
import type { RequestFeed } from './requests.ts'
import type { LogLimits } from './retention.ts'

/** Old parts are looked for so often: it takes some milliseconds for each environment. */
const sweepEveryMs = 5 * 60_000

/** What the instances of all environments print: kept in files, beyond the life of their containers. */
export function makeLogs<R extends Runtime>(options: {
  readonly runtime: R
  /** null: the proxy tells nothing of its requests. */
  readonly requests: RequestFeed | null
  readonly db: Queryable
  readonly masks?: Pick<Masks, 'ofEnvironment' | 'ofRelease'>
  readonly folder: string
  readonly limits: LogLimits
  readonly clock: Clock
  readonly logger: Logger
}) {
  const { runtime, db, clock, logger, requests: feed } = options
  let keeping: Promise<void> = Promise.resolve()
  const journals = makeJournals({ ...options, now: () => clock.now() })
  const masks = options.masks === undefined ? {} : { masks: options.masks }
  const collector = makeLogCollector({ runtime, journals, clock, logger, ...masks })
  const failedAnswers = makeFailedAnswers()
  return {
    journals,
    /** As far as the proxy tells of its requests. */
    failedAnswers,
    /** For whoever removes containers: what they printed last is kept first. */
    runtime: keepLogs(runtime, collector),
    ...makeRuntimeLogs({ journals, db, clock }),
    /** Writes a line of Slipway’s own into the log of a release. */
    note: ({ app, environment, release }: { app: string; environment: string; release: number }, text: string): void =>
      journals.open({ app, environment, journal: `v${release}` }).append(encodeNote(clock.now(), text)),
    /** Begins to follow every container; ends with the signal. */
    start(signal: AbortSignal): void {
      collector.start(signal)
      if (feed !== null) keeping = keepRequests({ ...options, feed, failedAnswers, journals }, signal)
      const sweep = (): void => void journals.sweep()
      sweep()
      const timer = setInterval(sweep, sweepEveryMs)
      signal.addEventListener('abort', () => clearInterval(timer), { once: true })
    },
    /** Writes what waits; after the signal. */
    async close(): Promise<void> {
      await keeping
      await journals.close()
    },
  }
}
