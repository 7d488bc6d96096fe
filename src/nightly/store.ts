import type { Database, Queryable } from '../postgres/database.ts'

/** What a part did, as counts, or why it failed. */
export type Outcome = Readonly<Record<string, number | string>>

export async function findLastBegun(q: Queryable): Promise<Date | null> {
  const rows = await q.query<{ begun_at: Date }>('select begun_at from nightly')
  return rows[0]?.begun_at ?? null
}

/** Before anything is done: a night that ends the server is not begun again at once. */
export async function recordBegun(q: Queryable): Promise<void> {
  await q.query(
    `insert into nightly (begun_at) values (now())
     on conflict (one) do update set begun_at = now(), ended_at = null, outcome = '{}'`,
  )
}

export async function recordPart(q: Queryable, part: string, outcome: Outcome): Promise<void> {
  await q.query('update nightly set outcome = outcome || jsonb_build_object($1::text, $2::jsonb)', [
    part,
    JSON.stringify(outcome),
  ])
}

export async function recordEnded(q: Queryable): Promise<void> {
  await q.query('update nightly set ended_at = now()')
}

/** The last one, or the one that is at work; what was done is by part. Null: there was none yet. */
export async function readNight(
  q: Queryable,
): Promise<{ begunAt: Date; outcome: Readonly<Record<string, Outcome>> } | null> {
  const rows = await q.query<{ begunAt: Date; outcome: Record<string, Outcome> }>(
    'select begun_at as "begunAt", outcome from nightly',
  )
  return rows[0] ?? null
}

export interface OldLog {
  readonly deployId: number
  /** As the database has it: to the microsecond. */
  readonly finishedAt: string
}

/**
 * Deploys that ended before the cutoff and whose release is not kept (or that made none), the oldest first, after the given
 * one. A log that was removed is not found again.
 */
export async function listOldLogs(
  q: Queryable,
  keepDays: number,
  page: { after: OldLog | null; limit: number },
): Promise<(OldLog & { kept: boolean })[]> {
  return q.query(
    `select d.id as "deployId", d.finished_at::text as "finishedAt",
       coalesce(b.state = 'succeeded' and b.image_removed_at is null, false) as kept
     from deploys d
     left join releases r on r.id = d.release_id
     left join builds b on b.id = r.build_id
     where d.log_removed_at is null and d.finished_at < now() - make_interval(days => $1)
       and ($2::timestamptz is null or (d.finished_at, d.id) > ($2, $3))
     order by d.finished_at, d.id limit $4`,
    [keepDays, page.after?.finishedAt ?? null, page.after?.deployId ?? null, page.limit],
  )
}

/** In place of the log a line that says so. */
export async function removeLog(db: Database, deployId: number, text: string): Promise<number> {
  return db.transaction(async (tx) => {
    await tx.query('update deploys set log_removed_at = now() where id = $1', [deployId])
    const removed = await tx.query('delete from deploy_log where deploy_id = $1 returning 1', [deployId])
    await tx.query(`insert into deploy_log (deploy_id, seq, kind, text) values ($1, 1, 'detail', $2)`, [deployId, text])
    return removed.length
  })
}

/** @returns how many went; fewer than the limit: no more are old */
export async function removeOldEvents(q: Queryable, keepDays: number, limit: number): Promise<number> {
  const rows = await q.query<{ count: number }>(
    `with removed as (
       delete from events where id in (
         select id from events where at < now() - make_interval(days => $1) order by at limit $2
       ) returning 1
     ) select count(*) as count from removed`,
    [keepDays, limit],
  )
  return rows[0]?.count ?? 0
}

/** @returns how many went; fewer than the limit: no more are old */
export async function removeOldRuns(q: Queryable, keepDays: number, limit: number): Promise<number> {
  const rows = await q.query<{ count: number }>(
    `with removed as (
       delete from cron_runs where id in (
         select id from cron_runs where finished_at < now() - make_interval(days => $1) order by finished_at limit $2
       ) returning 1
     ) select count(*) as count from removed`,
    [keepDays, limit],
  )
  return rows[0]?.count ?? 0
}
