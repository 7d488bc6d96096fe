import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'

/** What the logs ask of the tables of others. */

export interface LogEnvironment {
  readonly app: string
  readonly environment: string
  /** Folders are named for it: what an earlier one of the same name left is not this one's. */
  readonly createdAt: Date
}

export async function getLogEnvironment(q: Queryable, environmentId: number): Promise<LogEnvironment> {
  const [found] = await q.query<LogEnvironment>(
    `select a.name as app, e.name as environment, e.created_at as "createdAt"
     from environments e join apps a on a.id = e.app_id where e.id = $1`,
    [environmentId],
  )
  if (found === undefined) throw new SlipwayError('not_found', 'There is no such environment any more.')
  return found
}

export async function hasRelease(q: Queryable, environmentId: number, release: number): Promise<boolean> {
  const rows = await q.query('select 1 from releases where environment_id = $1 and number = $2', [
    environmentId,
    release,
  ])
  return rows.length > 0
}

/** The deploys' lines of an environment are ordered by time, deploy and number. */
export interface DeployPosition {
  /** Microseconds since 1970. */
  readonly micros: number
  readonly deployId: number
  readonly seq: number
}

export interface DeployLine extends DeployPosition {
  /** RFC 3339 with nine decimals. */
  readonly at: string
  readonly text: string
}

interface Of {
  readonly environmentId: number
  /** Only of the deploys that made it; null: of all. */
  readonly release: number | null
}

const selectLines = `select (extract(epoch from l.at) * 1000000)::float8 as micros, l.deploy_id as "deployId", l.seq, l.text,
    to_char(l.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"000Z"') as at
  from deploy_log l
  join deploys d on d.id = l.deploy_id
  left join releases r on r.id = d.release_id
  where d.environment_id = $1 and ($2::int is null or r.number = $2::int)`

/**
 * Lines behind a place, in order. Those of the last tenths of a second come with a later question: a transaction that began
 * earlier may still add some before them.
 */
export async function listDeployLines(
  q: Queryable,
  { environmentId, release }: Of,
  { after, limit }: { after: DeployPosition; limit: number },
): Promise<DeployLine[]> {
  return q.query(
    `${selectLines} and l.at <= now() - interval '300 milliseconds'
       and l.at >= to_timestamp($3::float8 / 1000000) - interval '1 microsecond'
       and ((extract(epoch from l.at) * 1000000)::float8, l.deploy_id, l.seq) > ($3::float8, $4::bigint, $5::int)
     order by l.at, l.deploy_id, l.seq limit $6`,
    [environmentId, release, after.micros, after.deployId, after.seq, limit],
  )
}

/** Times and places of the newest lines, oldest first. */
export async function findNewestDeployLines(
  q: Queryable,
  { environmentId, release }: Of,
  { limit, notBefore }: { limit: number; notBefore: Date },
): Promise<DeployLine[]> {
  const found = await q.query<DeployLine>(
    `${selectLines} and l.at >= $3 order by l.at desc, l.deploy_id desc, l.seq desc limit $4`,
    [environmentId, release, notBefore, limit],
  )
  return found.reverse()
}

export interface RequestOwner {
  readonly environmentId: number
  readonly app: string
  readonly environment: string
  /** `v12`; null when it is not known any more. */
  readonly release: string | null
}

/** Whose a request was: by its route's key, and the release by the set or by the instance's address. */
export async function findRequestOwner(
  q: Queryable,
  { routeKey, releaseSet, address }: { routeKey: string; releaseSet: string | null; address: string | null },
): Promise<RequestOwner | null> {
  const number = (key: string | null): number | null => (key === null ? null : Number(key.slice(1)))
  const ofRelease = [routeKey, releaseSet].find((key) => key?.startsWith('r')) ?? null
  const ofDeploy = releaseSet?.startsWith('d') === true ? releaseSet : null
  const [found] = await q.query<RequestOwner>(
    `select e.id as "environmentId", a.name as app, e.name as environment, 'v' || r.number as release
     from environments e
     join apps a on a.id = e.app_id
     left join releases r on r.environment_id = e.id and r.id = coalesce($2::bigint,
       (select release_id from deploys where id = $4::bigint),
       (select i.release_id from addresses ad join instances i on i.id = ad.instance_id where ad.address = $3::inet))
     where e.id = coalesce($1::bigint, (select environment_id from releases where id = $2::bigint))`,
    [/^[ew]/.test(routeKey) ? number(routeKey) : null, number(ofRelease), address, number(ofDeploy)],
  )
  return found ?? null
}
