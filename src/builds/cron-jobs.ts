import { z } from 'zod'
import { isTimezone, whyNotSchedule } from '../kernel/cron-schedule.ts'
import { durationMs, line } from './app-config-units.ts'

/** Something that an app wants done at certain times, in a container of its own. */
export interface CronJob {
  /** Unique in an app; its lines in the log are `cron.<label>`. */
  readonly label: string
  readonly schedule: string
  readonly timezone: string
  readonly run: string
  readonly timeoutMs: number
}

const mostJobs = 50

const cronJob = z.strictObject({
  label: z
    .string({ error: 'must be a name' })
    .regex(
      /^[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?$/,
      'must have 1 to 40 characters a–z, 0–9, _ and -, and begin and end with a letter or digit',
    ),
  schedule: line(100)
    .transform((text) => text.trim().replace(/\s+/g, ' '))
    .superRefine((text, context) => {
      const why = whyNotSchedule(text)
      if (why !== null) context.addIssue({ code: 'custom', message: why })
    }),
  timezone: z
    .string({ error: 'must be the name of a time zone such as Europe/Berlin' })
    .refine(isTimezone, 'must be the name of a time zone such as Europe/Berlin')
    .default('UTC'),
  run: line(4000),
  timeout: durationMs({ from: '1s', to: '24h' }).prefault('1h'),
})

export const cronJobKeys = Object.keys(cronJob.shape)

export const cronSchema = z
  .array(cronJob, { error: 'must be a list of jobs' })
  .refine((jobs) => jobs.length <= mostJobs, `may hold at most ${mostJobs} jobs`)
  .superRefine((jobs, context) => {
    const seen = new Set<string>()
    for (const [index, { label }] of jobs.entries()) {
      if (seen.has(label))
        context.addIssue({ code: 'custom', path: [index, 'label'], message: `"${label}" is another job’s already` })
      seen.add(label)
    }
  })

export function toCronJobs(given: z.output<typeof cronSchema>): readonly CronJob[] {
  return given.map(({ timeout, ...job }) => ({ ...job, timeoutMs: timeout }))
}

/** Of builds that were made before there was cron: none. */
export function cronJobsOf(config: { readonly cron?: readonly CronJob[] }): readonly CronJob[] {
  return config.cron ?? []
}
