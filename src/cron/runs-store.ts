import type { Queryable, Transaction } from '../postgres/database.ts'

/** A run of a job. Its SQL too. */
export interface CronRun {
  readonly id: number
  readonly environmentId: number
  readonly deployId: number
  readonly label: string
  readonly dueAt: Date
  /** Null: the schedule. */
  readonly requestedBy: string | null
  /** `waiting` for its turn; `skipped`: the run before it still went. */
  readonly state: 'waiting' | 'running' | 'succeeded' | 'failed' | 'skipped'
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly exitCode: number | null
  readonly error: string | null
  /** What it printed last. */
  readonly tail: readonly string[]
}

/** Of `cron_runs r`. */
export const columns = `r.id, r.environment_id as "environmentId", r.deploy_id as "deployId", r.label, r.due_at as "dueAt",
  r.requested_by as "requestedBy", r.state, r.started_at as "startedAt", r.finished_at as "finishedAt",
  r.exit_code as "exitCode", r.error, r.tail`

export interface NewRun {
  readonly environmentId: number
  readonly deployId: number
  readonly label: string
  readonly dueAt: Date
  readonly isSkipped: boolean
}

export async function insertRuns(tx: Transaction, runs: readonly NewRun[]): Promise<void> {
  if (runs.length === 0) return
  await tx.query(
    `insert into cron_runs (environment_id, deploy_id, label, due_at, state, finished_at, error)
     select n.environment_id, n.deploy_id, n.label, n.due_at,
       case when n.skipped then 'skipped' else 'waiting' end, case when n.skipped then now() end,
       case when n.skipped then 'Its last run was still going.' end
     from unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::boolean[])
       as n (environment_id, deploy_id, label, due_at, skipped)
     on conflict do nothing`,
    [
      runs.map((run) => run.environmentId),
      runs.map((run) => run.deployId),
      runs.map((run) => run.label),
      runs.map((run) => run.dueAt),
      runs.map((run) => run.isSkipped),
    ],
  )
}

/** A run that somebody asks for. Null when one of the job goes or waits already. */
export async function insertAskedRun(
  tx: Transaction,
  run: { environmentId: number; deployId: number; label: string; by: string },
): Promise<CronRun | null> {
  const rows = await tx.query<CronRun>(
    `insert into cron_runs as r (environment_id, deploy_id, label, due_at, requested_by, state)
     values ($1, $2, $3, clock_timestamp(), $4, 'waiting')
     on conflict (environment_id, label) where state in ('waiting', 'running') do nothing
     returning ${columns}`,
    [run.environmentId, run.deployId, run.label, run.by],
  )
  return rows[0] ?? null
}

/** Those that wait or go, the first that was due first. */
export async function listOpenRuns(q: Queryable): Promise<CronRun[]> {
  return q.query(`select ${columns} from cron_runs r where r.state in ('waiting', 'running') order by r.due_at, r.id`)
}

export interface RunFilter {
  readonly label?: string | undefined
  readonly state?: CronRun['state'] | undefined
  readonly since?: Date | undefined
  /** Only runs that were due before this one. */
  readonly before?: number | undefined
  readonly limit: number
}

/** The newest first. Each job is looked up by itself: one that runs every minute does not make the others slow. */
export async function listRuns(q: Queryable, environmentId: number, filter: RunFilter): Promise<CronRun[]> {
  const { label = null, state = null, since = null, before = null, limit } = filter
  return q.query(
    `with recursive labels as (
       select min(label) as label from cron_runs where environment_id = $1
       union all
       select (select min(label) from cron_runs where environment_id = $1 and label > l.label)
       from labels l where l.label is not null
     )
     select ${columns} from labels l cross join lateral (
       select * from cron_runs r where r.environment_id = $1 and r.label = l.label
         and ($3::text is null or r.state = $3) and ($4::timestamptz is null or r.due_at >= $4)
         and ($5::bigint is null or (r.due_at, r.id) < (select b.due_at, b.id from cron_runs b where b.id = $5))
       order by r.due_at desc limit $6
     ) r
     where $2::text is null or l.label = $2
     order by r.due_at desc, r.id desc limit $6`,
    [environmentId, label, state, since, before, limit],
  )
}

export async function findRun(q: Queryable, environmentId: number, id: number): Promise<CronRun | null> {
  const rows = await q.query<CronRun>(`select ${columns} from cron_runs r where r.environment_id = $1 and r.id = $2`, [
    environmentId,
    id,
  ])
  return rows[0] ?? null
}

/** From before its container starts. Returns how long it has been going; null when it has ended, or its environment goes. */
export async function recordStarted(q: Queryable, id: number): Promise<number | null> {
  const rows = await q.query<{ ms: number }>(
    `update cron_runs r set state = 'running', started_at = coalesce(r.started_at, now())
     from environments e
     where r.id = $1 and r.state in ('waiting', 'running') and e.id = r.environment_id and e.state <> 'removing'
     returning extract(epoch from now() - r.started_at)::float8 * 1000 as ms`,
    [id],
  )
  return rows[0]?.ms ?? null
}

export interface RunEnd {
  readonly exitCode: number | null
  /** Null: it succeeded. */
  readonly error: string | null
  readonly tail: readonly string[]
}

/** False when it has ended already. */
export async function recordEnded(tx: Transaction, id: number, { exitCode, error, tail }: RunEnd): Promise<boolean> {
  const rows = await tx.query(
    `update cron_runs set state = $2, exit_code = $3, error = $4, tail = $5, finished_at = now(),
       started_at = coalesce(started_at, now())
     where id = $1 and state in ('waiting', 'running') returning id`,
    [id, error === null ? 'succeeded' : 'failed', exitCode, error, tail],
  )
  return rows.length > 0
}
