import { z } from 'zod'
import type { CronRun, ListedJob } from '../../../cron/index.ts'
import { isoTime, isoTimeOrNull, time } from '../../schemas.ts'

export const cronRunSchema = z.strictObject({
  id: z.number().int(),
  label: z.string(),
  /** `waiting`: as many others go as may. */
  state: z.enum(['waiting', 'running', 'succeeded', 'failed', 'skipped']),
  dueAt: time,
  /** Null: the schedule. */
  requestedBy: z.string().nullable(),
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  exitCode: z.number().int().nullable(),
  /** Why it failed, or was skipped. */
  error: z.string().nullable(),
  /** What it printed last. */
  tail: z.array(z.string()),
})

export const cronJobSchema = z.strictObject({
  label: z.string(),
  schedule: z.string(),
  timezone: z.string(),
  run: z.string(),
  /** Null while the environment is stopped. */
  nextAt: time.nullable(),
  /** The newest run that was made. */
  last: cronRunSchema.nullable(),
  /** When it was skipped since: the last run was still going. */
  skippedAt: time.nullable(),
})

export function presentRun(run: CronRun): z.input<typeof cronRunSchema> {
  const { id, label, state, requestedBy, exitCode, error, tail } = run
  const times = { startedAt: isoTimeOrNull(run.startedAt), finishedAt: isoTimeOrNull(run.finishedAt) }
  return { id, label, state, dueAt: isoTime(run.dueAt), requestedBy, ...times, exitCode, error, tail: [...tail] }
}

export function presentJob(job: ListedJob): z.input<typeof cronJobSchema> {
  const { label, schedule, timezone, run, nextAt, last, skippedAt } = job
  const times = { nextAt: isoTimeOrNull(nextAt), skippedAt: isoTimeOrNull(skippedAt) }
  return { label, schedule, timezone, run, ...times, last: last === null ? null : presentRun(last) }
}
