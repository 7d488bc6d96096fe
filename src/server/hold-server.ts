import { systemClock } from '../kernel/clock.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Pool } from '../postgres/index.ts'

/** One server for each database, whatever its data folder. After the database restarted the place is taken again. */
export async function holdServer(pool: Pool, options: { logger: Logger; onTaken: () => void }): Promise<void> {
  const onLost = (): void => void retake()
  const retake = async (): Promise<void> => {
    for (;;) {
      try {
        if (!(await pool.holdServerLock(onLost))) options.onTaken()
        return
      } catch (error) {
        options.logger.warn('the place of the server in the database is not held', { error })
        await systemClock.sleep(1000)
      }
    }
  }
  if (await pool.holdServerLock(onLost)) return
  throw new SlipwayError('conflict', 'Another Slipway works with this database.', {
    hint: 'Stop it first, or give this one another DATABASE_URL.',
  })
}

/** At a start nothing waits for it to come back. */
export function databaseNotReached(error: unknown): SlipwayError {
  const { cause } = error as Error
  const why = cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : 'no answer'
  return new SlipwayError('unavailable', `The PostgreSQL of DATABASE_URL cannot be reached: ${why}.`, {
    hint: 'Start it, or correct DATABASE_URL.',
    cause: error,
  })
}
