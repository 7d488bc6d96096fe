import type { Queryable, Transaction } from '../postgres/database.ts'

/** A release, who made it, and why. */
export interface ReleaseSummary {
  readonly id: number
  readonly environmentId: number
  readonly number: number
  readonly createdAt: Date
  readonly commit: string
  readonly buildId: number
  readonly buildNumber: number
  /** Since when the image is gone; null while it is kept. */
  readonly imageRemovedAt: Date | null
  readonly pinned: boolean
  /** Requests to its environment are led to it now. */
  readonly serves: boolean
  /** The deploy that made it. */
  readonly deploy: {
    readonly id: number
    readonly kind: string
    readonly state: string
    readonly branch: string | null
    readonly requestedBy: string
    /** Whose image it took; null when it built one, or when that one's environment was removed. */
    readonly from: { readonly environment: string; readonly number: number } | null
    /** The release of the same environment whose commit it built again, by number; null when it was for none. */
    readonly rebuildOf: number | null
  } | null
}

interface ReleaseRow {
  id: number
  environment_id: number
  number: number
  created_at: Date
  commit: string
  build_id: number
  build_number: number
  image_removed_at: Date | null
  pinned: boolean
  serves: boolean
  deploy_id: number | null
  kind: string
  state: string
  branch: string | null
  requested_by: string
  from_environment: string | null
  from_number: number | null
  rebuild_of: number | null
}

const selectReleases = `select r.id, r.environment_id, r.number, r.created_at, r.pinned, b.commit, r.build_id, b.number as build_number,
    b.image_removed_at, coalesce(t.release_id = r.id and e.state <> 'stopped', false) as serves,
    d.id as deploy_id, d.kind, d.state, d.branch, d.requested_by,
    o.name as from_environment, f.number as from_number, n.number as rebuild_of
  from releases r
  join environments e on e.id = r.environment_id
  join builds b on b.id = r.build_id
  left join routes t on t.environment_id = r.environment_id
  -- Not "order by id limit 1": the planner then walks through the deploys of all environments.
  left join deploys d on d.id = (select (array_agg(c.id order by c.id))[1] from deploys c where c.release_id = r.id)
  left join releases f on f.id = d.from_release_id
  left join environments o on o.id = f.environment_id
  left join releases n on n.id = d.rebuild_of_release_id`

const toSummary = (row: ReleaseRow): ReleaseSummary => ({
  id: row.id,
  environmentId: row.environment_id,
  number: row.number,
  createdAt: row.created_at,
  commit: row.commit,
  buildId: row.build_id,
  buildNumber: row.build_number,
  imageRemovedAt: row.image_removed_at,
  pinned: row.pinned,
  serves: row.serves,
  deploy:
    row.deploy_id === null
      ? null
      : {
          id: row.deploy_id,
          kind: row.kind,
          state: row.state,
          branch: row.branch,
          requestedBy: row.requested_by,
          from:
            row.from_environment === null || row.from_number === null
              ? null
              : { environment: row.from_environment, number: row.from_number },
          rebuildOf: row.rebuild_of,
        },
})

/** Above all numbers: a bound that is always there is one that the index knows. */
const aboveAll = 2 ** 31 - 1

/** Newest first, below `before`. */
export async function listReleases(
  q: Queryable,
  environmentId: number,
  { limit, before = aboveAll }: { limit: number; before?: number },
): Promise<ReleaseSummary[]> {
  const rows = await q.query<ReleaseRow>(
    `${selectReleases} where r.environment_id = $1 and r.number < $2 order by r.number desc limit $3`,
    [environmentId, before, limit],
  )
  return rows.map(toSummary)
}

export async function findSummary(
  q: Queryable,
  { environmentId, number }: { environmentId: number; number: number },
): Promise<ReleaseSummary | null> {
  const rows = await q.query<ReleaseRow>(`${selectReleases} where r.environment_id = $1 and r.number = $2`, [
    environmentId,
    number,
  ])
  return rows[0] === undefined ? null : toSummary(rows[0])
}

/** What an environment serves, or served when it was stopped. */
export async function findCurrent(q: Queryable, environmentId: number): Promise<ReleaseSummary | null> {
  const rows = await q.query<ReleaseRow>(
    `${selectReleases} where r.id = (select release_id from routes where environment_id = $1)`,
    [environmentId],
  )
  return rows[0] === undefined ? null : toSummary(rows[0])
}

/** What a release is made of. */
export interface ReleaseContent {
  readonly image: { readonly digest: string; readonly sizeBytes: number }
  /** As its build keeps it. */
  readonly config: unknown
  /** Keyed hashes of the variables' values, by name. */
  readonly marks: Readonly<Record<string, string>>
}

export async function readContent(q: Queryable, releaseId: number): Promise<ReleaseContent> {
  const rows = await q.query<ReleaseContent>(
    `select b.image, b.config, r.variable_marks as marks from releases r join builds b on b.id = r.build_id where r.id = $1`,
    [releaseId],
  )
  return rows[0] as ReleaseContent
}

/** When a value was revoked that instances which serve were started with; null: none was. */
export async function findRevokedInUse(q: Queryable, releaseId: number): Promise<Date | null> {
  const rows = await q.query<{ at: Date }>(
    `select variables_revoked_at as at from releases r
     where id = $1 and exists (
       select 1 from instances where release_id = r.id and state = 'serving' and created_at < r.variables_revoked_at)`,
    [releaseId],
  )
  return rows[0]?.at ?? null
}

export interface StepTime {
  readonly step: string
  readonly startedAt: Date
  readonly finishedAt: Date | null
  readonly outcome: string | null
}

export async function listSteps(q: Queryable, deployId: number): Promise<StepTime[]> {
  return q.query(
    `select step, started_at as "startedAt", finished_at as "finishedAt", outcome from deploy_steps
     where deploy_id = $1 order by started_at`,
    [deployId],
  )
}

export interface DeployOfRelease {
  readonly id: number
  readonly kind: string
  readonly state: string
  readonly requestedBy: string
  readonly createdAt: Date
}

/** Newest first, and how many there are. */
export async function listDeploysOf(
  q: Queryable,
  releaseId: number,
  limit: number,
): Promise<{ total: number; deploys: DeployOfRelease[] }> {
  const rows = await q.query<DeployOfRelease & { total: number }>(
    `select id, kind, state, requested_by as "requestedBy", created_at as "createdAt", count(*) over () as total
     from deploys where release_id = $1 order by id + 0 desc limit $2`,
    [releaseId, limit],
  )
  return { total: rows[0]?.total ?? 0, deploys: rows.map(({ total: _total, ...deploy }) => deploy) }
}

/** Until the transaction ends nobody else pins or unpins it. */
export async function lockPin(
  tx: Transaction,
  { environmentId, number }: { environmentId: number; number: number },
): Promise<{ id: number; appId: number; buildId: number; pinned: boolean } | null> {
  const rows = await tx.query<{ id: number; appId: number; buildId: number; pinned: boolean }>(
    `select r.id, b.app_id as "appId", r.build_id as "buildId", r.pinned from releases r join builds b on b.id = r.build_id
     where r.environment_id = $1 and r.number = $2 for no key update of r`,
    [environmentId, number],
  )
  return rows[0] ?? null
}

export async function recordPin(tx: Transaction, releaseId: number, pinned: boolean): Promise<void> {
  await tx.query('update releases set pinned = $2 where id = $1', [releaseId, pinned])
}
