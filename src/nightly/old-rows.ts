import type { Database } from '../postgres/database.ts'
import { listOldLogs, type OldLog, removeLog, removeOldEvents, removeOldRuns } from './store.ts'

const logsAtOnce = 200
const rowsAtOnce = 5_000

/** Logs of deploys that are over for so many days and whose release is not kept: one by one, so that nobody waits for it. */
export async function removeOldLogs(db: Database, keepDays: number, signal: AbortSignal): Promise<{ logs: number }> {
  let logs = 0
  for (let after: OldLog | null = null; ; ) {
    signal.throwIfAborted()
    const page: (OldLog & { kept: boolean })[] = await listOldLogs(db, keepDays, { after, limit: logsAtOnce })
    for (const { deployId, kept } of page) {
      if (kept) continue
      signal.throwIfAborted()
      await removeLog(
        db,
        deployId,
        `This log was removed: it was older than ${keepDays} days, and the release is not kept.`,
      )
      logs += 1
    }
    if (page.length < logsAtOnce) return { logs }
    after = page.at(-1) ?? null
  }
}

export async function forgetOldEvents(
  db: Database,
  keepDays: number,
  signal: AbortSignal,
): Promise<{ events: number }> {
  return { events: await inPages((limit) => removeOldEvents(db, keepDays, limit), signal) }
}

/** Of jobs. */
export async function forgetOldRuns(db: Database, keepDays: number, signal: AbortSignal): Promise<{ runs: number }> {
  return { runs: await inPages((limit) => removeOldRuns(db, keepDays, limit), signal) }
}

async function inPages(remove: (limit: number) => Promise<number>, signal: AbortSignal): Promise<number> {
  let sum = 0
  for (;;) {
    signal.throwIfAborted()
    const removed = await remove(rowsAtOnce)
    sum += removed
    if (removed < rowsAtOnce) return sum
  }
}
