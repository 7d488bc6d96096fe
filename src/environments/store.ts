import type { Queryable } from '../postgres/database.ts'
import type { App, Environment, EnvironmentChange, Supersede } from './environment.ts'

interface AppRow {
  id: number
  name: string
  default_branch: string | null
  created_at: Date
}

interface EnvironmentRow {
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
}

const toApp = (row: AppRow): App => ({
  id: row.id,
  name: row.name,
  defaultBranch: row.default_branch,
  createdAt: row.created_at,
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
})

const environmentColumns = `e.id, e.app_id, a.name as app, e.name, e.label, e.live, e.branch,
  coalesce(e.branch, a.default_branch) as followed_branch, e.deploy_on_push, e.allow_forced_push,
  e.supersede`

export async function findApp(q: Queryable, name: string): Promise<App | null> {
  const rows = await q.query<AppRow>('select id, name, default_branch, created_at from apps where name = $1', [name])
  return rows[0] === undefined ? null : toApp(rows[0])
}

export async function listApps(q: Queryable): Promise<App[]> {
  return (await q.query<AppRow>('select id, name, default_branch, created_at from apps order by name')).map(toApp)
}

/** Null when an app of this name is there already. */
export async function insertApp(q: Queryable, name: string): Promise<App | null> {
  const rows = await q.query<AppRow>(
    'insert into apps (name) values ($1) on conflict (name) do nothing returning id, name, default_branch, created_at',
    [name],
  )
  return rows[0] === undefined ? null : toApp(rows[0])
}

export interface NewEnvironment {
  readonly appId: number
  readonly name: string
  readonly label: string
  readonly live: boolean
  readonly deployOnPush: boolean
  readonly allowForcedPush: boolean
}

export async function insertEnvironment(q: Queryable, e: NewEnvironment): Promise<void> {
  await q.query(
    `insert into environments (app_id, name, label, live, deploy_on_push, allow_forced_push) values ($1, $2, $3, $4, $5, $6)`,
    [e.appId, e.name, e.label, e.live, e.deployOnPush, e.allowForcedPush],
  )
}

export async function listEnvironments(q: Queryable, appName: string): Promise<Environment[]> {
  const rows = await q.query<EnvironmentRow>(
    `select ${environmentColumns} from environments e join apps a on a.id = e.app_id where a.name = $1 order by e.live, e.id`,
    [appName],
  )
  return rows.map(toEnvironment)
}

export async function findEnvironment(q: Queryable, appName: string, name: string): Promise<Environment | null> {
  const rows = await q.query<EnvironmentRow>(
    `select ${environmentColumns} from environments e join apps a on a.id = e.app_id where a.name = $1 and e.name = $2`,
    [appName, name],
  )
  return rows[0] === undefined ? null : toEnvironment(rows[0])
}

export async function updateEnvironment(q: Queryable, id: number, change: EnvironmentChange): Promise<void> {
  await q.query(
    `update environments set
       branch = case when $2 then $3 else branch end,
       deploy_on_push = coalesce($4, deploy_on_push),
       allow_forced_push = coalesce($5, allow_forced_push),
       supersede = coalesce($6, supersede)
     where id = $1`,
    [
      id,
      change.branch !== undefined,
      change.branch ?? null,
      change.deployOnPush ?? null,
      change.allowForcedPush ?? null,
      change.supersede ?? null,
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
