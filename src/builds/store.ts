import { type ErrorCode, SlipwayError } from '../kernel/errors.ts'
import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
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
  /** `waiting` for a slot, `running` once it has one. */
  readonly state: 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  readonly image: BuiltImage | null
}

/** A build and the life of a server that makes it. */
export interface OwnBuild {
  readonly id: number
  readonly worker: string
}

/** Another server makes it now, or it has ended: whoever sees this records nothing more. */
export class LostBuildError extends SlipwayError {
  constructor({ id }: OwnBuild) {
    super('conflict', `Build ${id} has ended, or another server makes it now.`)
  }
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

/** The app's row serialises those who look for a build with those who make one. */
export async function findOrInsertBuild(tx: Transaction, build: NewBuild): Promise<Build> {
  await tx.query('select 1 from apps where id = $1 for no key update', [build.appId])
  const active = await tx.query<BuildRow>(
    `select ${columns} from builds where key = $1 and state in ('waiting', 'running')`,
    [build.key],
  )
  if (active[0] !== undefined) return toBuild(active[0])
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
  const rows = await q.query<BuildRow>(`select ${columns} from builds where id = $1`, [id], prepared)
  return rows[0] === undefined ? null : toBuild(rows[0])
}

/** So many are asked for until one is there. */
const mostKept = 3

export async function listKeptBuilds(q: Queryable, key: string): Promise<Build[]> {
  const rows = await q.query<BuildRow>(
    `select ${columns} from builds where key = $1 and state = 'succeeded' and image_removed_at is null
       and image -> 'revoked' is null order by id desc limit ${mostKept}`,
    [key],
  )
  return rows.map(toBuild)
}

/** One that was of its own while it was made has the common key now. */
export async function hasKey(q: Queryable, id: number, key: string): Promise<boolean> {
  const rows = await q.query(
    `select 1 from builds where id = $1 and (key = $2 or state = 'succeeded' and key = split_part($2, ':', 1))`,
    [id, key],
  )
  return rows.length > 0
}

export async function getBuild(q: Queryable, id: number): Promise<Build> {
  const build = await findBuild(q, id)
  if (build === null) throw new SlipwayError('not_found', `There is no build ${id}.`)
  return build
}

/** Makes a build this server's, whoever had it. Returns it as it is; null when it has ended. */
export async function claimBuild(q: Queryable, own: OwnBuild): Promise<Build | null> {
  const rows = await q.query<BuildRow>(
    `update builds set lease_owner = $2 where id = $1 and state in ('waiting', 'running') returning ${columns}`,
    [own.id, own.worker],
  )
  return rows[0] === undefined ? null : toBuild(rows[0])
}

export async function isHeld(q: Queryable, own: OwnBuild): Promise<boolean> {
  const rows = await q.query('select 1 from builds where id = $1 and lease_owner = $2', [own.id, own.worker])
  return rows.length > 0
}

/** It was ended because nobody waited for it while this server made it. */
export async function isCancelled(q: Queryable, own: OwnBuild): Promise<boolean> {
  const rows = await q.query(`select 1 from builds where id = $1 and lease_owner = $2 and state = 'cancelled'`, [
    own.id,
    own.worker,
  ])
  return rows.length > 0
}

/** Every record of a build's making goes through here: whoever lost it changes nothing. */
async function updateOwn(q: Queryable, own: OwnBuild, set: string, values: readonly unknown[] = []): Promise<void> {
  const rows = await q.query(
    `update builds set ${set} where id = $1 and lease_owner = $2 and state in ('waiting', 'running') returning id`,
    [own.id, own.worker, ...values],
  )
  if (rows.length === 0) throw new LostBuildError(own)
}

export async function markBuildWaiting(q: Queryable, own: OwnBuild): Promise<void> {
  await updateOwn(q, own, `state = 'waiting'`)
}

export async function markBuildRunning(q: Queryable, own: OwnBuild, host: string): Promise<void> {
  await updateOwn(q, own, `state = 'running', host = $3, started_at = coalesce(started_at, now())`, [host])
}

export async function markBuildSucceeded(q: Queryable, own: OwnBuild, image: BuiltImage): Promise<void> {
  // From now on it is what others take who want the same.
  await updateOwn(q, own, `state = 'succeeded', key = split_part(key, ':', 1), image = $3, finished_at = now()`, [
    JSON.stringify(image),
  ])
}

export async function markBuildFailed(q: Queryable, own: OwnBuild, error: SlipwayError): Promise<void> {
  await updateOwn(q, own, `state = 'failed', error = $3, error_code = $4, error_hint = $5, finished_at = now()`, [
    error.message,
    error.code,
    error.hint ?? null,
  ])
}

export async function findFailure(q: Queryable, id: number): Promise<SlipwayError | null> {
  const rows = await q.query<{ code: ErrorCode; message: string; hint: string | null }>(
    `select coalesce(error_code, 'build_failed') as code, coalesce(error, '') as message, error_hint as hint
     from builds where id = $1 and state = 'failed'`,
    [id],
  )
  if (rows[0] === undefined) return null
  const { code, message, hint } = rows[0]
  return new SlipwayError(code, message, hint === null ? {} : { hint })
}

/** Deploys that want a build and are not about to end. */
const waits = `d.state in ('waiting', 'running') and d.cancel_requested_at is null and d.error_code is null`

/**
 * Ends a build that no deploy waits for, but for those that have left; also one that nobody has begun to make.
 * @returns false when one does, and it goes on
 */
export async function abandonBuild(q: Queryable, own: OwnBuild, left: readonly number[]): Promise<boolean> {
  const rows = await q.query<{ wanted: boolean }>(
    `with wanted as (
       select exists (select 1 from deploys d where d.build_id = $1 and d.id <> all($3::bigint[]) and ${waits}) as wanted
     ), ended as (
       update builds set state = 'cancelled', error = 'Nobody waited for it any more.', finished_at = now()
       where id = $1 and coalesce(lease_owner, $2) = $2 and state in ('waiting', 'running') and not (select wanted from wanted)
     )
     select wanted from wanted`,
    [own.id, own.worker, left],
  )
  return rows[0]?.wanted !== true
}

/** Ends the builds that wait or run in the table alone: their deploys have ended, and nobody makes them. */
export async function endAbandonedBuilds(q: Queryable, made: readonly number[]): Promise<void> {
  await q.query(
    `update builds b set state = 'cancelled', error = 'Nobody waited for it any more.', finished_at = now()
     where b.state in ('waiting', 'running') and b.id <> all($1::bigint[])
       and not exists (select 1 from deploys d where d.build_id = b.id and d.state in ('waiting', 'running'))`,
    [made],
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
