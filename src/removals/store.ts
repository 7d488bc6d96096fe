import type { Environment } from '../environments/index.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'

/*
 * The SQL of removals. That something goes is recorded first, in its row; the row itself goes last.
 */

/** An environment that goes. */
export interface GoingEnvironment
  extends Pick<Environment, 'id' | 'appId' | 'app' | 'name' | 'label' | 'live' | 'state'> {
  readonly removedBy: string | null
}

const selectEnvironment = `select e.id, e.app_id as "appId", a.name as app, e.name, e.label, e.live, e.state, e.removed_by as "removedBy"
  from environments e join apps a on a.id = e.app_id`

/** Nobody changes it until the transaction ends. */
export async function lockEnvironment(tx: Transaction, id: number): Promise<GoingEnvironment | null> {
  const rows = await tx.query<GoingEnvironment>(`${selectEnvironment} where e.id = $1 for no key update of e`, [id])
  return rows[0] ?? null
}

/** Locked, in an order that is always the same. */
export async function lockEnvironmentsOf(tx: Transaction, appId: number): Promise<GoingEnvironment[]> {
  return tx.query(`${selectEnvironment} where e.app_id = $1 order by e.id for no key update of e`, [appId])
}

/** Of apps that stay: those of an app that goes go with it. */
export async function listGoingEnvironments(q: Queryable): Promise<GoingEnvironment[]> {
  return q.query(`${selectEnvironment} where e.state = 'removing' and a.removing_since is null order by e.id`)
}

export async function listEnvironmentsOf(q: Queryable, appId: number): Promise<GoingEnvironment[]> {
  return q.query(`${selectEnvironment} where e.app_id = $1 order by e.id`, [appId])
}

export async function markEnvironment(tx: Transaction, id: number, by: string): Promise<void> {
  await tx.query(
    `update environments set state = 'removing', removed_by = $2, version = version + 1 where id = $1 and state <> 'removing'`,
    [id, by],
  )
}

export interface GoingApp {
  readonly id: number
  readonly name: string
  readonly removedBy: string | null
}

/** False when it is being removed already. */
export async function markApp(tx: Transaction, id: number, by: string): Promise<boolean> {
  const rows = await tx.query(
    'update apps set removing_since = now(), removed_by = $2 where id = $1 and removing_since is null returning id',
    [id, by],
  )
  return rows.length > 0
}

/** False when it is gone. */
export async function lockGoingApp(tx: Transaction, id: number): Promise<boolean> {
  const rows = await tx.query('select 1 from apps where id = $1 and removing_since is not null for update', [id])
  return rows.length > 0
}

export async function listGoingApps(q: Queryable): Promise<GoingApp[]> {
  return q.query('select id, name, removed_by as "removedBy" from apps where removing_since is not null order by id')
}

/** From here on nothing of its own keeps its images. */
export async function unpinReleases(q: Queryable, environmentId: number): Promise<void> {
  await q.query('update releases set pinned = false where environment_id = $1 and pinned', [environmentId])
}

/** Builds with an image that only this environment's releases, or nobody's, are made from. */
export async function listOwnImages(q: Queryable, environmentId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select b.id from builds b
     where b.id in (select build_id from releases where environment_id = $1)
       and b.state = 'succeeded' and b.image_removed_at is null
       and not exists (select 1 from releases r where r.build_id = b.id and r.environment_id <> $1)
     order by b.id`,
    [environmentId],
  )
  return rows.map((row) => row.id)
}

export async function listImagesOf(q: Queryable, appId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select id from builds where app_id = $1 and state = 'succeeded' and image_removed_at is null order by id`,
    [appId],
  )
  return rows.map((row) => row.id)
}

export async function listBuildsOf(q: Queryable, appId: number): Promise<{ id: number; isOpen: boolean }[]> {
  return q.query(`select id, state in ('waiting', 'running') as "isOpen" from builds where app_id = $1`, [appId])
}

export async function listDeploysOf(q: Queryable, environmentId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>('select id from deploys where environment_id = $1 order by id', [
    environmentId,
  ])
  return rows.map((row) => row.id)
}

export async function deleteLogs(q: Queryable, deployIds: readonly number[]): Promise<void> {
  await q.query('delete from deploy_log where deploy_id = any($1)', [deployIds])
}

/** With all that refers to it, but for the numbers of its releases. */
export async function deleteEnvironment(tx: Transaction, id: number): Promise<void> {
  await tx.query(`delete from environments where id = $1 and state = 'removing'`, [id])
}

/** The numbers of its releases are kept for a later app of the same name. */
export async function deleteApp(tx: Transaction, id: number): Promise<void> {
  await tx.query(
    `insert into numbers_of_removed_apps (app, environment_name, last_number)
     select a.name, n.environment_name, n.last_number
     from release_numbers n join apps a on a.id = n.app_id where a.id = $1 and a.removing_since is not null
     on conflict (app, environment_name) do update
       set last_number = greatest(numbers_of_removed_apps.last_number, excluded.last_number)`,
    [id],
  )
  await tx.query('delete from apps where id = $1 and removing_since is not null', [id])
}
