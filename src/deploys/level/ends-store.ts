import { appendEvent } from '../../kernel/events.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { crashLoopEnds, delayAfterStartMs, recoveredAfterMinutes } from './back-off.ts'

/*
 * What is recorded when serving instances end and come back, by the database's clock, with the events that tell of it. While
 * one ends again and again only the beginning and the end of that are events.
 */

const recoveryTime = `interval '${recoveredAfterMinutes} minutes'`

/** How an instance ended; null where nobody knows. */
export interface End {
  readonly exitCode: number | null
  readonly outOfMemory: boolean
}

interface Subject {
  readonly appId: number
  readonly environmentId: number
  readonly deployId: number
  readonly release: number
  readonly process: string
  readonly position: number
}

const about = `from releases r join environments e on e.id = r.environment_id
  where r.id = i.release_id`
const subject = `e.app_id as "appId", e.id as "environmentId", i.deploy_id as "deployId", r.number as release, i.process, i.position`

/** From now on nothing is led to it. False when it was down already, or does not serve. */
export async function recordOutage(q: Queryable, id: number): Promise<boolean> {
  const rows = await q.query(
    `update instances set down_since = now() where id = $1 and state = 'serving' and down_since is null returning id`,
    [id],
  )
  return rows.length > 0
}

/** It ended, this way. To be called once for each end. */
export async function recordEnd(db: Database, id: number, end: End): Promise<void> {
  await db.transaction(async (tx) => {
    const [row] = await tx.query<Subject & { begins: boolean; loops: boolean }>(
      `update instances i set last_exit_code = $2, last_out_of_memory = $3, end_count = i.end_count + 1,
         ends = (i.ends || now())[greatest(1, cardinality(i.ends) - 8):],
         crash_loop_since = coalesce(i.crash_loop_since, case when (
           select count(*) from unnest(i.ends || now()) as t where t > now() - ${recoveryTime}) >= ${crashLoopEnds} then now() end)
       ${about} and i.id = $1 and i.state = 'serving'
       returning ${subject}, i.crash_loop_since is not distinct from now() as begins, i.crash_loop_since is not null as loops`,
      [id, end.exitCode, end.outOfMemory],
    )
    if (row === undefined) return
    if (row.begins) await tell(tx, 'instance.crash-loop', row, end)
    else if (!row.loops) await tell(tx, 'instance.died', row, end)
  })
}

/** It listens again. False when it was not down, or does not serve. */
export async function recordUp(db: Database, id: number): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [row] = await tx.query<Subject & { loops: boolean; first: boolean }>(
      `update instances i set down_since = null, start_error = null
       ${about} and i.id = $1 and i.state = 'serving' and i.down_since is not null
       returning ${subject}, i.crash_loop_since is not null as loops, i.end_count = 0 as first`,
      [id],
    )
    // A worker is down until its first start.
    if (row !== undefined && !row.loops) await tell(tx, row.first ? 'instance.started' : 'instance.restarted', row)
    return row !== undefined
  })
}

/** Slipway is about to start it again, with what its release has from now on; the next time it waits longer. */
export async function recordStartAttempt(q: Queryable, id: number, attempt: number): Promise<void> {
  await q.query(
    `update instances set start_attempts = $2, next_start_at = now() + $3 * interval '1 millisecond', created_at = now() where id = $1`,
    [id, attempt, delayAfterStartMs(attempt)],
  )
}

/** It could not be started: why, and what to do. */
export async function recordStartError(q: Queryable, id: number, why: string): Promise<void> {
  await q.query('update instances set start_error = $2 where id = $1', [id, why])
}

/** Forgets what was counted of instances that have been up for long. */
export async function recordRecovered(db: Database): Promise<void> {
  await db.transaction(async (tx) => {
    const rows = await tx.query<Subject & { loops: boolean }>(
      `with steady as (
         select id, crash_loop_since is not null as loops from instances
         where state = 'serving' and down_since is null and (crash_loop_since is not null or start_attempts > 0)
           and coalesce(ends[cardinality(ends)], '-infinity') < now() - ${recoveryTime}
         for update
       ), forgotten as (
         update instances i set crash_loop_since = null, start_attempts = 0, next_start_at = null
         from steady where i.id = steady.id returning i.*, steady.loops
       )
       select ${subject}, i.loops from forgotten i join releases r on r.id = i.release_id
       join environments e on e.id = r.environment_id`,
    )
    for (const row of rows) if (row.loops) await tell(tx, 'instance.recovered', row)
  })
}

async function tell(
  tx: Parameters<typeof appendEvent>[0],
  kind: string,
  { appId, environmentId, deployId, release, process, position }: Subject,
  end?: End,
): Promise<void> {
  await appendEvent(tx, { kind, appId, environmentId, deployId, data: { release, process, position, ...end } })
}
