import type { Queryable, Transaction } from '../postgres/database.ts'
import type { RefUpdate } from './push-request.ts'
import type { StrictDeploy } from './strict-verdict.ts'

/** A push whose refs may have moved without its deploys being queued, or a strict one that is not settled. */
export interface UnfinishedPush {
  readonly id: number
  readonly app: string
  readonly pushedBy: string
  readonly updates: readonly RefUpdate[]
  readonly options: readonly string[]
}

/** Until the transaction ends nobody else notes down a push of the app that moves refs, or leases any. */
export async function lockPushes(tx: Transaction, appId: number): Promise<void> {
  await tx.query('select 1 from apps where id = $1 for no key update', [appId])
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

export async function findUnfinishedPushes(q: Queryable, state: 'receiving' | 'strict'): Promise<UnfinishedPush[]> {
  const rows = await q.query<{ id: number; app: string; pushed_by: string; updates: RefUpdate[]; options: string[] }>(
    `select p.id, a.name as app, p.pushed_by, p.updates, p.options
     from pushes p join apps a on a.id = p.app_id where p.state = $1 order by p.id`,
    [state],
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

/** What a strict push holds, for whoever pushes to the same. */
export interface Lease {
  readonly ref: string
  readonly pushId: number
  readonly pushedBy: string
  readonly since: Date
}

const selectLeases = `select l.ref, p.id as "pushId", p.pushed_by as "pushedBy", p.created_at as since
  from ref_leases l join pushes p on p.id = l.push_id`

export async function listLeases(q: Queryable, app: string): Promise<Lease[]> {
  return q.query(`${selectLeases} where l.app_id = (select id from apps where name = $1)`, [app])
}

/** Returns one that another push holds; then the transaction is to be rolled back. Null: all are held. */
export async function takeLeases(
  tx: Transaction,
  { appId, pushId, refs }: { appId: number; pushId: number; refs: readonly string[] },
): Promise<Lease | null> {
  // In one order: two pushes of the same refs never wait for each other.
  const taken = await tx.query(
    `insert into ref_leases (app_id, ref, push_id) select $1, ref, $2 from unnest($3::text[]) as r (ref) order by ref
     on conflict do nothing returning ref`,
    [appId, pushId, refs],
  )
  if (taken.length === refs.length) return null
  const held = await tx.query<Lease>(
    `${selectLeases} where l.app_id = $1 and l.ref = any($3) and l.push_id <> $2 order by l.ref limit 1`,
    [appId, pushId, refs],
  )
  return held[0] as Lease
}

/** Who has been let in with one of these updates before it was leased, and has not said yet that the ref moved. Strict pushes ask for the lease first. */
export async function findPushOnTheWay(
  tx: Transaction,
  { appId, pushId, updates }: { appId: number; pushId: number; updates: readonly RefUpdate[] },
): Promise<{ pushedBy: string; ref: string } | null> {
  const rows = await tx.query<{ pushedBy: string; ref: string }>(
    `select p.pushed_by as "pushedBy", u.ref
     from pushes p, jsonb_to_recordset(p.updates) as u (ref text, old text)
     join unnest($3::text[], $4::text[]) as o (ref, old) on (o.ref, o.old) = (u.ref, u.old)
     where p.state = 'receiving' and p.app_id = $1 and p.id <> $2 and not p.options ? 'strict' order by u.ref limit 1`,
    [appId, pushId, updates.map(({ ref }) => ref), updates.map(({ old }) => old)],
  )
  return rows[0] ?? null
}

/** Its deploys are queued: from now on it is settled by what becomes of them. False when it was closed meanwhile. */
export async function openStrictPush(tx: Transaction, id: number, deployCount: number): Promise<boolean> {
  const rows = await tx.query(
    `update pushes set state = 'strict', deploy_count = $2 where id = $1 and state = 'receiving' returning id`,
    [id, deployCount],
  )
  return rows.length === 1
}

/** Ends the lease, too. False when someone else has closed it. */
export async function closeStrict(tx: Transaction, id: number, state: 'received' | 'rejected'): Promise<boolean> {
  const rows = await tx.query(`update pushes set state = $2 where id = $1 and state = 'strict' returning id`, [
    id,
    state,
  ])
  await tx.query('delete from ref_leases where push_id = $1', [id])
  return rows.length === 1
}

/** Null when the push is settled, or gone with its app. */
export async function findStrictDeploys(
  q: Queryable,
  pushId: number,
): Promise<{ expected: number; deploys: StrictDeploy[] } | null> {
  const rows = await q.query<{ expected: number; deploys: StrictDeploy[] | null }>(
    `select p.deploy_count as expected,
       (select json_agg(json_build_object('id', d.id, 'environment', e.name, 'state', d.state) order by d.id)
        from deploys d join environments e on e.id = d.environment_id
        where d.push_id = p.id and d.swap_agreed is not null) as deploys
     from pushes p where p.id = $1 and p.state = 'strict'`,
    [pushId],
  )
  return rows[0] === undefined ? null : { expected: rows[0].expected, deploys: rows[0].deploys ?? [] }
}
