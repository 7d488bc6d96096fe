import { type AppConfig, type CronJob, cronJobsOf } from '../builds/index.ts'
import { nextDue } from '../kernel/cron-schedule.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Failing } from './plan.ts'
import { columns, type CronRun } from './runs-store.ts'

/** The jobs of the release that a deploy brings. */
export async function listWantedJobs(q: Queryable, deployId: number): Promise<readonly CronJob[]> {
  const rows = await q.query<{ config: AppConfig }>(
    `select b.config from deploys d join releases r on r.id = d.release_id join builds b on b.id = r.build_id
     where d.id = $1`,
    [deployId],
  )
  return rows.flatMap(({ config }) => cronJobsOf(config))
}

/** Those of the release that serves from now on take the place of all others; one that stays as it was loses no time. */
export async function replaceJobs(tx: Transaction, environmentId: number, jobs: readonly CronJob[]): Promise<void> {
  const labels = jobs.map(({ label }) => label)
  await tx.query('delete from cron_jobs where environment_id = $1 and label <> all($2)', [environmentId, labels])
  if (jobs.length === 0) return
  const [{ now } = { now: new Date() }] = await tx.query<{ now: Date }>('select now() as now')
  await tx.query(
    `insert into cron_jobs as j (environment_id, label, schedule, timezone, run, next_due_at)
     select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
     on conflict (environment_id, label) do update set
       schedule = excluded.schedule, timezone = excluded.timezone, run = excluded.run,
       next_due_at = case when (j.schedule, j.timezone) = (excluded.schedule, excluded.timezone)
         then j.next_due_at else excluded.next_due_at end`,
    [
      environmentId,
      labels,
      jobs.map(({ schedule }) => schedule),
      jobs.map(({ timezone }) => timezone),
      jobs.map(({ run }) => run),
      jobs.map((job) => orNever(nextDue(job, now))),
    ],
  )
}

const orNever = (date: Date | null): string => date?.toISOString() ?? 'infinity'

export interface DueJob {
  readonly environmentId: number
  readonly appId: number
  readonly app: string
  readonly environment: string
  readonly isActive: boolean
  /** The deploy that serves; null: none does. */
  readonly deployId: number | null
  readonly release: number | null
  readonly label: string
  readonly schedule: string
  readonly timezone: string
  readonly dueAt: Date
  /** Its last run still goes, or waits. */
  readonly isBusy: boolean
  readonly now: Date
}

/** Locked until the transaction ends; ones that another transaction has are left to it. */
export async function lockDueJobs(tx: Transaction, limit: number): Promise<DueJob[]> {
  return tx.query(
    `select j.environment_id as "environmentId", e.app_id as "appId", a.name as app, e.name as environment,
       e.state = 'active' as "isActive", t.deploy_id as "deployId", v.number as release, j.label, j.schedule, j.timezone,
       j.next_due_at as "dueAt", now() as now,
       exists (select 1 from cron_runs r where r.environment_id = j.environment_id and r.label = j.label
               and r.state in ('waiting', 'running')) as "isBusy"
     from cron_jobs j
     -- Laterally: few are due, which a planner that knows nothing of the table does not believe, and reads all environments.
     cross join lateral (select * from environments where id = j.environment_id limit 1) e
     cross join lateral (select * from apps where id = e.app_id limit 1) a
     left join routes t on t.environment_id = j.environment_id
     left join releases v on v.id = t.release_id
     where j.next_due_at <= now() order by j.next_due_at limit $1 for update of j skip locked`,
    [limit],
  )
}

export async function setNextDue(
  tx: Transaction,
  jobs: readonly { readonly environmentId: number; readonly label: string; readonly next: Date | null }[],
): Promise<void> {
  await tx.query(
    `update cron_jobs j set next_due_at = n.next
     from unnest($1::bigint[], $2::text[], $3::timestamptz[]) as n (environment_id, label, next)
     where j.environment_id = n.environment_id and j.label = n.label`,
    [jobs.map((job) => job.environmentId), jobs.map((job) => job.label), jobs.map((job) => orNever(job.next))],
  )
}

/** How long until the next job is due, by the database’s clock; null: none ever is. */
export async function msUntilDue(q: Queryable): Promise<number | null> {
  const [found] = await q.query<{ ms: number }>(
    `select extract(epoch from next_due_at - now())::float8 * 1000 as ms from cron_jobs
     where next_due_at < 'infinity' order by next_due_at limit 1`,
  )
  return found?.ms ?? null
}

/** Null when the job is not one of the release that serves any more. */
export async function lockFailing(
  tx: Transaction,
  { environmentId, label }: Pick<CronRun, 'environmentId' | 'label'>,
): Promise<(Failing & { readonly now: Date }) | null> {
  const rows = await tx.query<Failing & { now: Date }>(
    `select failures, failing_since as "failingSince", failure_told_at as "toldAt", now() as now
     from cron_jobs where environment_id = $1 and label = $2 for update`,
    [environmentId, label],
  )
  return rows[0] ?? null
}

export async function recordFailing(
  tx: Transaction,
  { environmentId, label }: Pick<CronRun, 'environmentId' | 'label'>,
  { failures, failingSince, toldAt }: Failing,
): Promise<void> {
  await tx.query(
    `update cron_jobs set failures = $3, failing_since = $4, failure_told_at = $5
     where environment_id = $1 and label = $2`,
    [environmentId, label, failures, failingSince, toldAt],
  )
}

/** A job of what serves in an environment. */
export interface ListedJob {
  readonly label: string
  readonly schedule: string
  readonly timezone: string
  readonly run: string
  /** Null while nothing runs there, and when it is never due again. */
  readonly nextAt: Date | null
  /** The newest run that was made; null: none yet. */
  readonly last: CronRun | null
  /** The newest that was not, when it is newer than the last. */
  readonly skippedAt: Date | null
}

export async function listJobs(q: Queryable, environmentId: number): Promise<ListedJob[]> {
  const jobs = await q.query<Omit<ListedJob, 'last'>>(
    `select j.label, j.schedule, j.timezone, j.run,
       case when e.state = 'active' and j.next_due_at < 'infinity' then j.next_due_at end as "nextAt",
       case when s.state = 'skipped' then s.due_at end as "skippedAt"
     from cron_jobs j join environments e on e.id = j.environment_id
     left join lateral (
       select state, due_at from cron_runs r where r.environment_id = j.environment_id and r.label = j.label
       order by r.due_at desc limit 1
     ) s on true
     where j.environment_id = $1 order by j.label`,
    [environmentId],
  )
  const last = await q.query<CronRun>(
    `select ${columns} from cron_jobs j, lateral (
       select * from cron_runs r where r.environment_id = j.environment_id and r.label = j.label and r.state <> 'skipped'
       order by r.due_at desc limit 1
     ) r where j.environment_id = $1`,
    [environmentId],
  )
  return jobs.map((job) => ({ ...job, last: last.find(({ label }) => label === job.label) ?? null }))
}

export interface Surroundings {
  readonly appId: number
  readonly app: string
  readonly environment: string
  readonly state: 'active' | 'stopped' | 'removing'
  /** The deploy that serves; null: none does. */
  readonly deployId: number | null
}

/** Stays as it is until the transaction ends. */
export async function holdSurroundings(tx: Transaction, environmentId: number): Promise<Surroundings | null> {
  const rows = await tx.query<Surroundings>(
    `select e.app_id as "appId", a.name as app, e.name as environment, e.state, t.deploy_id as "deployId"
     from environments e join apps a on a.id = e.app_id left join routes t on t.environment_id = e.id
     where e.id = $1 for share of e`,
    [environmentId],
  )
  return rows[0] ?? null
}
