import { systemClock } from '../kernel/clock.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Database } from '../postgres/database.ts'

/** What Slipway stands on. */
export type Footing = 'database' | 'engine' | 'proxy'

/** Puts into the activity when Slipway ran, and when what it stands on was away. Never throws: nothing waits for it. */
export interface Outages {
  started(version: string): Promise<void>
  stopped(): Promise<void>
  back(footing: Footing, awayMs: number): void
}

const backKinds: Readonly<Record<Footing, string>> = {
  database: 'server.database-back',
  engine: 'server.engine-back',
  proxy: 'server.proxy-back',
}

/** What goes and comes all the time fills the log, not the activity. */
const oftenestMs = 60_000

export function makeOutages({ db, logger }: { db: Database; logger: Logger }): Outages {
  const last = new Map<Footing, number>()
  const record = async (kind: string, data: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    await db
      .transaction((tx) => appendEvent(tx, { kind, data }))
      .catch((error: unknown) => logger.warn('this could not be put into the activity', { kind, error }))
  }
  return {
    async started(version) {
      const before = await findLastOfLife(db).catch(() => null)
      await record('server.started', { version, untold: before === 'server.started' })
    },
    stopped: () => record('server.stopped'),
    back(footing, awayMs) {
      const nowMs = systemClock.monotonicMs()
      if (nowMs - (last.get(footing) ?? Number.NEGATIVE_INFINITY) < oftenestMs) return
      last.set(footing, nowMs)
      void record(backKinds[footing], { seconds: Math.round(awayMs / 1000) })
    },
  }
}

/** Whether the last thing that is known of an earlier life is its start or its end. */
async function findLastOfLife(db: Database): Promise<string | null> {
  const [last] = await db.query<{ kind: string }>(
    `select kind from events where kind in ('server.started', 'server.stopped') order by id desc limit 1`,
  )
  return last?.kind ?? null
}
