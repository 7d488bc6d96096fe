import type { Queryable, Transaction } from '../postgres/database.ts'
import type { AppConfig } from './app-config.ts'
import type { BuiltImage } from './builder.ts'

/** An immutable image with the app's frozen configuration, or the attempt to make one. */
export interface Build {
  readonly id: number
  readonly appId: number
  /** Counts up per app. */
  readonly number: number
  readonly commit: string
  readonly config: AppConfig
  readonly state: 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  readonly image: BuiltImage | null
}

interface BuildRow {
  id: number
  app_id: number
  number: number
  commit: string
  config: AppConfig
  state: Build['state']
  image: BuiltImage | null
}

const columns = 'id, app_id, number, commit, config, state, image'

const toBuild = (row: BuildRow): Build => ({
  id: row.id,
  appId: row.app_id,
  number: row.number,
  commit: row.commit,
  config: row.config,
  state: row.state,
  image: row.image,
})

export interface NewBuild {
  readonly appId: number
  readonly commit: string
  readonly key: string
  readonly config: AppConfig
}

export async function insertBuild(tx: Transaction, build: NewBuild): Promise<Build> {
  const numbers = await tx.query<{ n: number }>(
    'update apps set last_build_number = last_build_number + 1 where id = $1 returning last_build_number as n',
    [build.appId],
  )
  const rows = await tx.query<BuildRow>(
    `insert into builds (app_id, number, commit, key, config, state) values ($1, $2, $3, $4, $5, 'waiting') returning ${columns}`,
    [build.appId, numbers[0]?.n, build.commit, build.key, JSON.stringify(build.config)],
  )
  return toBuild(rows[0] as BuildRow)
}

export async function findBuild(q: Queryable, id: number): Promise<Build | null> {
  const rows = await q.query<BuildRow>(`select ${columns} from builds where id = $1`, [id])
  return rows[0] === undefined ? null : toBuild(rows[0])
}

export async function markBuildRunning(q: Queryable, id: number, host: string): Promise<void> {
  await q.query(
    `update builds set state = 'running', host = $2, started_at = coalesce(started_at, now()) where id = $1`,
    [id, host],
  )
}

export async function markBuildSucceeded(q: Queryable, id: number, image: BuiltImage): Promise<void> {
  await q.query(`update builds set state = 'succeeded', image = $2, finished_at = now() where id = $1`, [
    id,
    JSON.stringify(image),
  ])
}

export async function markBuildEnded(
  q: Queryable,
  id: number,
  state: 'failed' | 'cancelled',
  error: string,
): Promise<void> {
  await q.query(
    `update builds set state = $2, error = $3, finished_at = now() where id = $1 and state in ('waiting', 'running')`,
    [id, state, error],
  )
}

/** Those of these builds that did not make an image, and that nobody is making: what there is of them has no owner. */
export async function findAbandonedBuilds(q: Queryable, ids: readonly number[]): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select id from builds b where id = any($1) and state <> 'succeeded'
       and not exists (select 1 from deploys d where d.build_id = b.id and d.state in ('waiting', 'running'))`,
    [ids],
  )
  return rows.map((row) => row.id)
}
