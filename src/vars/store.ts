import { SlipwayError } from '../kernel/errors.ts'
import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import type { Present } from './variable.ts'

export interface Sealed {
  readonly name: string
  readonly keyId: number
  readonly sealed: Buffer
  readonly secret: boolean
  readonly build: boolean
}

const presentColumns = `name, secret, build, version, changed_by as "changedBy", changed_at as "changedAt", mark, bytes`

/** Serialises all changes of an environment's variables until the transaction ends. */
export async function lockVariables(
  tx: Transaction,
  environmentId: number,
): Promise<{ version: number; environment: string; appId: number }> {
  const rows = await tx.query<{ version: number; environment: string; appId: number }>(
    `select variables_version as version, name as environment, app_id as "appId" from environments where id = $1
     for no key update`,
    [environmentId],
  )
  if (rows[0] === undefined) throw new SlipwayError('not_found', 'The environment was removed.')
  return rows[0]
}

/** The same of the environment that a release is of; returns its id. */
export async function lockVariablesOf(tx: Transaction, releaseId: number): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    'select id from environments where id = (select environment_id from releases where id = $1) for no key update',
    [releaseId],
  )
  return (rows[0] as { id: number }).id
}

export async function listVariables(q: Queryable, environmentId: number): Promise<Present[]> {
  return q.query(`select ${presentColumns} from variables where environment_id = $1 order by name`, [environmentId])
}

/** In one statement: what is listed is what the version says. */
export async function listWithVersion(
  q: Queryable,
  environmentId: number,
): Promise<{ version: number; variables: (Present & Sealed)[] }> {
  const rows = await q.query<{ environmentVersion: number } & Present & Sealed>(
    `select e.variables_version as "environmentVersion", v.name, v.secret, v.build, v.version, v.changed_by as "changedBy",
       v.changed_at as "changedAt", v.mark, v.bytes, v.key_id as "keyId", v.sealed
     from environments e left join variables v on v.environment_id = e.id where e.id = $1 order by v.name`,
    [environmentId],
  )
  if (rows[0] === undefined) throw new SlipwayError('not_found', 'The environment was removed.')
  // An environment without any is one row without a name.
  const variables = rows.filter((row) => (row.name as string | null) !== null)
  return { version: rows[0].environmentVersion, variables }
}

export interface Written extends Sealed {
  readonly mark: Buffer
  readonly bytes: number
}

/** Sets and removes, and counts the environment's version up. Returns the new one. */
export async function writeVariables(
  tx: Transaction,
  environmentId: number,
  { set, unset, by }: { set: readonly Written[]; unset: readonly string[]; by: string },
): Promise<number> {
  const rows = await tx.query<{ version: number }>(
    'update environments set variables_version = variables_version + 1 where id = $1 returning variables_version as version',
    [environmentId],
  )
  const version = (rows[0] as { version: number }).version
  await tx.query('delete from variables where environment_id = $1 and name = any($2)', [environmentId, unset])
  await tx.query(
    `insert into variables (environment_id, name, key_id, sealed, mark, bytes, secret, build, version, changed_by)
     select $1, v.name, v.key_id, v.sealed, v.mark, v.bytes, v.secret, v.build, $2, $3
     from unnest($4::text[], $5::int[], $6::bytea[], $7::bytea[], $8::int[], $9::boolean[], $10::boolean[])
       as v (name, key_id, sealed, mark, bytes, secret, build)
     on conflict (environment_id, name) do update set key_id = excluded.key_id, sealed = excluded.sealed,
       mark = excluded.mark, bytes = excluded.bytes, secret = excluded.secret, build = excluded.build,
       version = excluded.version, changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
    [
      ...[environmentId, version, by],
      set.map((v) => v.name),
      set.map((v) => v.keyId),
      set.map((v) => v.sealed),
      set.map((v) => v.mark),
      set.map((v) => v.bytes),
      set.map((v) => v.secret),
      set.map((v) => v.build),
    ],
  )
  return version
}

export async function keepWithRelease(
  tx: Transaction,
  releaseId: number,
  { sealed, keyId, marks }: { sealed: Buffer; keyId: number; marks: Readonly<Record<string, string>> },
): Promise<void> {
  await tx.query('update releases set variables = $2, variables_key_id = $3, variable_marks = $4 where id = $1', [
    releaseId,
    sealed,
    keyId,
    JSON.stringify(marks),
  ])
}

/** Of a row of releases. In SQL, so that it reads the same whatever the session's time zone is. */
export const variablesRevision = (releases: string): string =>
  `(extract(epoch from ${releases}.variables_revoked_at) * 1000000)::bigint::text`

export interface KeptWithRelease {
  readonly environmentId: number
  readonly sealed: Buffer | null
  readonly keyId: number
  /** By name, in hexadecimal digits. */
  readonly marks: Readonly<Record<string, string>>
  /** Another one after every value that was taken out; null: none was. */
  readonly revision: string | null
}

/** `sealed` is null for a release without any; null when there is no such release. */
export async function findWithRelease(q: Queryable, releaseId: number): Promise<KeptWithRelease | null> {
  const rows = await q.query<KeptWithRelease>(
    `select environment_id as "environmentId", variables as sealed, variables_key_id as "keyId", variable_marks as marks,
       ${variablesRevision('releases')} as revision
     from releases where id = $1`,
    [releaseId],
    prepared,
  )
  return rows[0] ?? null
}

export async function listSecrets(q: Queryable, environmentId: number): Promise<Sealed[]> {
  return q.query(
    `select name, key_id as "keyId", sealed, secret, build from variables where environment_id = $1 and secret`,
    [environmentId],
  )
}

/** Of which an instance is there, a deploy has not ended or a job runs. */
export async function listReleasesInUse(q: Queryable, environmentId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select release_id as id from deploys where environment_id = $1 and finished_at is null and release_id is not null
     union select i.release_id from instances i join releases r on r.id = i.release_id
       where i.state <> 'retired' and r.environment_id = $1
     union select d.release_id from cron_runs c join deploys d on d.id = c.deploy_id
       where c.environment_id = $1 and c.state in ('waiting', 'running') and d.release_id is not null`,
    [environmentId],
  )
  return rows.map(({ id }) => id)
}
