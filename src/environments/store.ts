import type { Queryable, Transaction } from '../postgres/database.ts'
import type {
  App,
  Environment,
  EnvironmentChange,
  EnvironmentMaintenance,
  EnvironmentState,
  Supersede,
} from './environment.ts'
import { lockColumns, type LockRow, toLock } from './lock-store.ts'

interface AppRow {
  id: number
  name: string
  default_branch: string | null
  created_at: Date
  removing: boolean
  release_addresses: App['releaseAddresses']
}

interface EnvironmentRow extends LockRow {
  id: number
  app_id: number
  app: string
  name: string
  label: string
  live: boolean
  branch: string | null
  followed_branch: string | null
  deploy_on_push: boolean
  allow_forced_push: boolean
  supersede: Supersede
  held: boolean
  state: EnvironmentState
  version: number
  protection: Environment['protection']
  maintenance: (Omit<EnvironmentMaintenance, 'since'> & { since: string }) | null
}

const toApp = (row: AppRow): App => ({
  id: row.id,
  name: row.name,
  defaultBranch: row.default_branch,
  createdAt: row.created_at,
  isRemoving: row.removing,
  releaseAddresses: row.release_addresses,
})

const toEnvironment = (row: EnvironmentRow): Environment => ({
  id: row.id,
  appId: row.app_id,
  app: row.app,
  name: row.name,
  label: row.label,
  live: row.live,
  branch: row.branch,
  followedBranch: row.followed_branch,
  deployOnPush: row.deploy_on_push,
  allowForcedPush: row.allow_forced_push,
  supersede: row.supersede,
  held: row.held,
  lock: toLock(row),
  maintenance: row.maintenance === null ? null : { ...row.maintenance, since: new Date(row.maintenance.since) },
  state: row.state,
  version: row.version,
  protection: row.protection,
})

const environmentColumns = `e.id, e.app_id, a.name as app, e.name, e.label, e.live, e.branch,
  coalesce(e.branch, a.default_branch) as followed_branch, e.deploy_on_push, e.allow_forced_push,
  e.supersede, e.held or exists (
    select 1 from deploys d where d.environment_id = e.id and d.holds and d.finished_at is null
  ) as held, e.state, e.version, ${lockColumns('e')},
  jsonb_build_object(
    'users', (select count(*) from environment_passwords p where p.environment_id = e.id),
    'ranges', (select count(*) from environment_ranges g where g.environment_id = e.id),
    'onlyReleases', coalesce((select only_releases from environment_rules u where u.environment_id = e.id), false)
  ) as protection,
  (select jsonb_build_object('message', message, 'by', begun_by, 'since', begun_at, 'allow', ranges)
    from environment_maintenance m where m.environment_id = e.id) as maintenance`

const appColumns = 'id, name, default_branch, created_at, removing_since is not null as removing, release_addresses'

export async function findApp(q: Queryable, name: string): Promise<App | null> {
  const rows = await q.query<AppRow>(`select ${appColumns} from apps where name = $1`, [name])
  return rows[0] === undefined ? null : toApp(rows[0])
}

export async function listApps(q: Queryable): Promise<App[]> {
  return (await q.query<AppRow>(`select ${appColumns} from apps order by name`)).map(toApp)
}

/** Null when an app of this name is there already. Its releases are counted on from those of an earlier app of the name. */
export async function insertApp(tx: Transaction, name: string): Promise<App | null> {
  const rows = await tx.query<AppRow>(
    `insert into apps (name) values ($1) on conflict (name) do nothing returning ${appColumns}`,
    [name],
  )
  if (rows[0] === undefined) return null
  await tx.query(
    `with earlier as (delete from numbers_of_removed_apps where app = $2 returning environment_name, last_number)
     insert into release_numbers (app_id, environment_name, last_number) select $1, environment_name, last_number from earlier`,
    [rows[0].id, name],
  )
  return toApp(rows[0])
}

export interface NewEnvironment {
  readonly appId: number
  readonly name: string
  readonly label: string
  readonly live: boolean
  readonly deployOnPush: boolean
  readonly allowForcedPush: boolean
  readonly branch?: string | null
  readonly supersede?: Supersede
}

/** Its id; null when the app has one of this name already. */
export async function insertEnvironment(q: Queryable, e: NewEnvironment): Promise<number | null> {
  const rows = await q.query<{ id: number }>(
    `insert into environments (app_id, name, label, live, branch, deploy_on_push, allow_forced_push, supersede)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (app_id, name) do nothing returning id`,
    [e.appId, e.name, e.label, e.live, e.branch ?? null, e.deployOnPush, e.allowForcedPush, e.supersede ?? 'waiting'],
  )
  return rows[0]?.id ?? null
}

export async function listEnvironments(q: Queryable, appName: string): Promise<Environment[]> {
  const rows = await q.query<EnvironmentRow>(
    `select ${environmentColumns} from environments e join apps a on a.id = e.app_id where a.name = $1 order by e.live, e.id`,
    [appName],
  )
  return rows.map(toEnvironment)
}

/** Nobody changes them, or puts anything into their lines, until the transaction ends. In the order in which all others do it. */
export async function lockEnvironments(tx: Transaction, appId: number): Promise<void> {
  await tx.query('select 1 from environments where app_id = $1 order by id for no key update', [appId])
}

export async function findEnvironment(q: Queryable, appName: string, name: string): Promise<Environment | null> {
  const rows = await q.query<EnvironmentRow>(
    `select ${environmentColumns} from environments e join apps a on a.id = e.app_id where a.name = $1 and e.name = $2`,
    [appName, name],
  )
  return rows[0] === undefined ? null : toEnvironment(rows[0])
}

/** The environment as it is, and nobody changes it until the transaction ends. */
export async function lockEnvironment(tx: Transaction, id: number): Promise<Environment | null> {
  const rows = await tx.query<EnvironmentRow>(
    `select ${environmentColumns} from environments e join apps a on a.id = e.app_id where e.id = $1 for no key update of e`,
    [id],
  )
  return rows[0] === undefined ? null : toEnvironment(rows[0])
}

export async function updateEnvironment(tx: Transaction, id: number, change: EnvironmentChange): Promise<void> {
  await tx.query(
    `update environments set
       branch = case when $2 then $3 else branch end,
       deploy_on_push = coalesce($4, deploy_on_push),
       allow_forced_push = coalesce($5, allow_forced_push),
       supersede = coalesce($6, supersede),
       held = coalesce($7, held),
       version = version + 1
     where id = $1`,
    [
      id,
      change.branch !== undefined,
      change.branch ?? null,
      change.deployOnPush ?? null,
      change.allowForcedPush ?? null,
      change.supersede ?? null,
      change.held ?? null,
    ],
  )
}

/** Makes `branch` the default unless a person pinned another. */
export async function setDefaultBranch(q: Queryable, appId: number, branch: string): Promise<void> {
  await q.query(
    `update apps set default_branch = $2
     where id = $1 and not default_branch_pinned`,
    [appId, branch],
  )
}

export async function pinDefaultBranch(q: Queryable, appId: number, branch: string): Promise<void> {
  await q.query('update apps set default_branch = $2, default_branch_pinned = true where id = $1', [appId, branch])
}

/** Lets nobody begin to remove the app until the transaction ends. False when somebody has, or it is gone. */
export async function lockApp(tx: Transaction, appId: number): Promise<boolean> {
  const rows = await tx.query('select 1 from apps where id = $1 and removing_since is null for share', [appId])
  return rows.length > 0
}
