import type { Queryable } from '../postgres/database.ts'
import type { RefUpdate } from './push-request.ts'

/** A push whose refs may have moved without its deploys being queued. */
export interface UnfinishedPush {
  readonly id: number
  readonly app: string
  readonly pushedBy: string
  readonly updates: readonly RefUpdate[]
  readonly options: readonly string[]
}

/** Written before any ref moves. */
export async function insertPush(
  q: Queryable,
  push: { appId: number; pushedBy: string; updates: readonly RefUpdate[]; options: readonly string[] },
): Promise<number> {
  const rows = await q.query<{ id: number }>(
    `insert into pushes (app_id, pushed_by, state, updates, options) values ($1, $2, 'receiving', $3, $4) returning id`,
    [push.appId, push.pushedBy, JSON.stringify(push.updates), JSON.stringify(push.options)],
  )
  return rows[0]?.id as number
}

/** False when it was no longer open: someone else has finished it. */
export async function closePush(q: Queryable, id: number, state: 'received' | 'lost'): Promise<boolean> {
  const rows = await q.query(`update pushes set state = $2 where id = $1 and state = 'receiving' returning id`, [
    id,
    state,
  ])
  return rows.length === 1
}

/** Where branches stand after a push; those that it deleted are gone. */
export async function recordBranches(q: Queryable, appId: number, moved: readonly BranchMove[]): Promise<void> {
  const gone = moved.filter(({ head }) => head === null).map(({ branch }) => branch)
  const there = moved.filter((one): one is BranchMove & { head: string } => one.head !== null)
  if (gone.length > 0) await q.query('delete from branches where app_id = $1 and name = any($2)', [appId, gone])
  if (there.length === 0) return
  await q.query(
    `insert into branches (app_id, name, head) select $1, name, head from unnest($2::text[], $3::text[]) as b (name, head)
     on conflict (app_id, name) do update set head = excluded.head`,
    [appId, there.map(({ branch }) => branch), there.map(({ head }) => head)],
  )
}

export interface BranchMove {
  readonly branch: string
  /** null: it was deleted. */
  readonly head: string | null
}

/** Apps from a time in which branches were not recorded. */
export async function listAppsWithUnknownBranches(q: Queryable): Promise<{ id: number; name: string }[]> {
  return q.query('select id, name from apps where not branches_known order by id')
}

export async function markBranchesKnown(q: Queryable, appId: number): Promise<void> {
  await q.query('update apps set branches_known = true where id = $1', [appId])
}

export async function findUnfinishedPushes(q: Queryable): Promise<UnfinishedPush[]> {
  const rows = await q.query<{ id: number; app: string; pushed_by: string; updates: RefUpdate[]; options: string[] }>(
    `select p.id, a.name as app, p.pushed_by, p.updates, p.options
     from pushes p join apps a on a.id = p.app_id where p.state = 'receiving' order by p.id`,
  )
  return rows.map(({ pushed_by: pushedBy, ...row }) => ({ ...row, pushedBy }))
}

/** Deploys of the app whose commits must stay: see `levelHeldCommits`. */
export async function listCommitsToHold(
  q: Queryable,
  app: string,
  keepDays: number,
): Promise<{ id: number; commit: string }[]> {
  return q.query(
    `select d.id, d.commit
     from apps a join environments e on e.app_id = a.id join deploys d on d.environment_id = e.id
     left join releases r on r.id = d.release_id
     left join builds b on b.id = r.build_id
     where a.name = $1 and (d.finished_at is null or d.finished_at > now() - make_interval(days => $2)
       or (b.state = 'succeeded' and b.image_removed_at is null))`,
    [app, keepDays],
  )
}
