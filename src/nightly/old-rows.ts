import type { Database } from '../postgres/database.ts'
import { listOldLogs, type OldLog, removeLog, removeOldEvents } from './store.ts'

const logsAtOnce = 200
const eventsAtOnce = 5_000

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
  let events = 0
  for (;;) {
    signal.throwIfAborted()
    const removed = await removeOldEvents(db, keepDays, eventsAtOnce)
    events += removed
    if (removed < eventsAtOnce) return { events }
  }
}
