import { countDue, lastDue, nextDue, type Schedule } from '../kernel/cron-schedule.ts'

/*
 * What is done about a job that is due, and what is told of how it ended. Pure.
 */

/** What was missed for longer is not made up for: nobody expects the night’s report at noon. */
const caughtUpMs = 60 * 60_000
/** Nobody wants to know it more exactly. */
export const mostCounted = 1_000

export interface Due {
  /** The time whose run is made now; null: none is. */
  readonly run: Date | null
  /** Times that nobody was there for and whose runs are not made. */
  readonly missed: { readonly count: number; readonly from: Date } | null
  /** Null: never again. */
  readonly next: Date | null
}

/** @param job was due at `dueAt`, which has passed, and nobody has looked since */
export function planDue(job: Schedule & { readonly dueAt: Date }, now: Date): Due {
  const found = lastDue(job, now)
  const last = found === null || found < job.dueAt ? job.dueAt : found
  const run = now.getTime() - last.getTime() <= caughtUpMs ? last : null
  const count = last <= job.dueAt ? 1 : countDue(job, job.dueAt, last, mostCounted)
  const missed = run === null ? count : count - 1
  return { run, missed: missed === 0 ? null : { count: missed, from: job.dueAt }, next: nextDue(job, now) }
}

/** How a job has ended lately. */
export interface Failing {
  /** In a row. */
  readonly failures: number
  readonly failingSince: Date | null
  readonly toldAt: Date | null
}

/** What fails every minute is told every hour. */
const toldAgainMs = 60 * 60_000

export interface Verdict {
  readonly after: Failing
  readonly tell: 'cron.failed' | 'cron.recovered' | null
}

export function judgeEnd(before: Failing, succeeded: boolean, now: Date): Verdict {
  if (succeeded) {
    const after = { failures: 0, failingSince: null, toldAt: null }
    return { after, tell: before.failures > 0 ? 'cron.recovered' : null }
  }
  const isTold = before.toldAt !== null && now.getTime() - before.toldAt.getTime() < toldAgainMs
  const after = {
    failures: before.failures + 1,
    failingSince: before.failingSince ?? now,
    toldAt: isTold ? before.toldAt : now,
  }
  return { after, tell: isTold ? null : 'cron.failed' }
}
