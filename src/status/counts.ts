import type { Logger } from '../kernel/logger.ts'
import type { Queryable } from '../postgres/database.ts'
import * as store from './store.ts'

/** The repositories, as far as counting needs them. */
export interface Commits {
  /** How many commits lie only behind `to`, and only behind `from`; null when one of them is not there any more. */
  countBetween(app: string, from: string, to: string): Promise<{ added: number; left: number } | null>
}

interface Parts {
  readonly db: Queryable
  readonly commits: Commits
  readonly logger: Logger
}

/** How often it is looked whether anything moved: one cheap question. */
const lookMs = 2_000

/** Counts what nobody has counted yet, one after the other. What git cannot count stays unknown. */
export async function countMissing({ db, commits, logger }: Parts, appIds: readonly number[] | null): Promise<void> {
  for (const pair of await store.listUncounted(db, { appIds })) {
    try {
      const found = await commits.countBetween(pair.app, pair.deployed, pair.head)
      if (found !== null) await store.recordCount(db, pair, { undeployed: found.added, leftOut: found.left })
    } catch (error) {
      logger.warn('undeployed commits could not be counted', { app: pair.app, error })
    }
  }
}

/** All that is missing at first, then that of the apps where a head or what is live has moved, until the signal fires. */
export async function keepCounts(
  parts: Parts,
  {
    signal,
    sleep,
    everyMs = lookMs,
  }: { signal: AbortSignal; sleep: (ms: number, signal: AbortSignal) => Promise<void>; everyMs?: number },
): Promise<void> {
  let after: string | null = null
  for (let appIds: number[] | null = null; !signal.aborted; ) {
    try {
      if (after === null) {
        after = await store.findNow(parts.db)
        appIds = null
      } else {
        const moved = await store.listMoved(parts.db, after)
        ;({ appIds, end: after } = moved)
      }
      if (appIds === null || appIds.length > 0) await countMissing(parts, appIds)
    } catch (error) {
      parts.logger.warn('undeployed commits could not be counted', { error })
    }
    await sleep(everyMs, signal).catch(() => undefined)
  }
}
