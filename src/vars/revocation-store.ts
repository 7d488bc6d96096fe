import type { Queryable, Transaction } from '../postgres/database.ts'

/** An environment that is not about to go. */
export interface Holder {
  readonly id: number
  readonly name: string
}

/** The same order as whoever asks for deploys in several of them. */
export async function listHolders(q: Queryable, appId: number): Promise<Holder[]> {
  return q.query(`select id, name from environments where app_id = $1 and state <> 'removing' order by id`, [appId])
}

/** Until the transaction ends nobody changes variables there, or makes a release. */
export async function lockHolders(tx: Transaction, ids: readonly number[]): Promise<void> {
  await tx.query('select id from environments where id = any($1) order by id for no key update', [ids])
}

/** The releases of these environments in which the variable has one of these marks. */
export async function listReleasesWith(
  tx: Transaction,
  { environmentIds, name, marks }: { environmentIds: readonly number[]; name: string; marks: readonly string[] },
): Promise<number[]> {
  const rows = await tx.query<{ id: number }>(
    'select id from releases where environment_id = any($1) and variable_marks ->> $2 = any($3) order by id',
    [environmentIds, name, marks],
  )
  return rows.map(({ id }) => id)
}

export interface SealedSnapshot {
  readonly id: number
  readonly environmentId: number
  readonly buildId: number
  readonly sealed: Buffer
  readonly keyId: number
  readonly mark: string
}

/** Those of these releases that still have it; they do not change until the transaction ends. */
export async function takeSnapshots(
  tx: Transaction,
  ids: readonly number[],
  { name, marks }: { name: string; marks: readonly string[] },
): Promise<SealedSnapshot[]> {
  return tx.query(
    `select id, environment_id as "environmentId", build_id as "buildId", variables as sealed, variables_key_id as "keyId",
       variable_marks ->> $2 as mark
     from releases where id = any($1) and variable_marks ->> $2 = any($3) order by id for no key update`,
    [ids, name, marks],
  )
}

/** A mark of null takes the variable out. */
export async function putSnapshots(
  tx: Transaction,
  name: string,
  snapshots: readonly { id: number; sealed: Buffer; keyId: number; mark: string | null }[],
): Promise<void> {
  await tx.query(
    `update releases r set variables = v.sealed, variables_key_id = v.key_id, variables_revoked_at = clock_timestamp(),
       variable_marks = case when v.mark is null then r.variable_marks - $1
         else r.variable_marks || jsonb_build_object($1::text, v.mark) end
     from unnest($2::bigint[], $3::bytea[], $4::int[], $5::text[]) as v (id, sealed, key_id, mark) where r.id = v.id`,
    [
      name,
      snapshots.map(({ id }) => id),
      snapshots.map(({ sealed }) => sealed),
      snapshots.map(({ keyId }) => keyId),
      snapshots.map(({ mark }) => mark),
    ],
  )
}

export interface RevokedValue {
  readonly appId: number
  readonly name: string
  readonly mark: Buffer
  readonly sealed: Buffer
  readonly keyId: number
  readonly secret: boolean
}

export async function recordRevoked(tx: Transaction, value: RevokedValue, by: string): Promise<void> {
  await tx.query(
    `insert into revoked_values (app_id, name, mark, key_id, sealed, secret, revoked_by) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (app_id, name, mark) do update
       set secret = revoked_values.secret or excluded.secret, revoked_by = excluded.revoked_by, revoked_at = now()`,
    [value.appId, value.name, value.mark, value.keyId, value.sealed, value.secret, by],
  )
}

/** Those of these marks that are of revoked values of the app that the environment belongs to. */
export async function findRevoked(
  q: Queryable,
  environmentId: number,
  marks: readonly Buffer[],
): Promise<{ name: string; by: string; at: Date }[]> {
  return q.query(
    `select name, revoked_by as by, revoked_at as at from revoked_values
     where app_id = (select app_id from environments where id = $1) and mark = any($2) order by name`,
    [environmentId, marks],
  )
}

/** Who revoked a value of it last, and when; null: nobody did. */
export async function findLastRevocation(
  q: Queryable,
  appId: number,
  name: string,
): Promise<{ by: string; at: Date } | null> {
  const rows = await q.query<{ by: string; at: Date }>(
    `select revoked_by as by, revoked_at as at from revoked_values where app_id = $1 and name = $2 order by revoked_at desc limit 1`,
    [appId, name],
  )
  return rows[0] ?? null
}

/** The newest are enough: what started before the others has long ended. */
export async function listRevokedSecrets(
  q: Queryable,
  environmentId: number,
): Promise<{ appId: number; name: string; sealed: Buffer; keyId: number }[]> {
  return q.query(
    `select app_id as "appId", name, sealed, key_id as "keyId" from revoked_values
     where app_id = (select app_id from environments where id = $1) and secret order by revoked_at desc limit 100`,
    [environmentId],
  )
}

/** Instances that started with what these releases had before, by release. */
export async function listRunning(
  tx: Transaction,
  releaseIds: readonly number[],
): Promise<{ environmentId: number; release: number; serves: boolean }[]> {
  return tx.query(
    `select r.environment_id as "environmentId", r.number as release, coalesce(t.release_id = r.id, false) as serves
     from releases r left join routes t on t.environment_id = r.environment_id
     where r.id = any($1) and exists (select 1 from instances i where i.release_id = r.id and i.state <> 'retired')
     order by r.environment_id, r.number`,
    [releaseIds],
  )
}

/** Of these builds those that one of these releases was the first of: they were given what it had. */
export async function listMadeFor(
  tx: Transaction,
  { buildIds, releaseIds }: { buildIds: readonly number[]; releaseIds: readonly number[] },
): Promise<number[]> {
  const rows = await tx.query<{ id: number }>(
    // Not min(id): see findMaker.
    `select build_id as id from releases where build_id = any($1) group by build_id having min(id + 0) = any($2)`,
    [buildIds, releaseIds],
  )
  return rows.map(({ id }) => id)
}

/** Nothing but what serves already starts from the images of these builds any more. */
export async function markImages(tx: Transaction, buildIds: readonly number[], name: string): Promise<void> {
  await tx.query(
    `update builds set image = image || jsonb_build_object('revoked', coalesce(image -> 'revoked', '[]') || to_jsonb($2::text))
     where id = any($1) and state = 'succeeded' and not coalesce(image -> 'revoked' ? $2, false)`,
    [buildIds, name],
  )
}

/** The releases that have one of these images, as long as that is kept. */
export async function listReleasesOf(
  tx: Transaction,
  buildIds: readonly number[],
): Promise<{ id: number; environment: string; release: number }[]> {
  return tx.query(
    `select r.id, e.name as environment, r.number as release from releases r
     join builds b on b.id = r.build_id join environments e on e.id = r.environment_id
     where r.build_id = any($1) and b.image_removed_at is null order by e.id, r.number desc`,
    [buildIds],
  )
}
