import type { Queryable } from '../postgres/database.ts'

/** A release, who made it, and why. */
export interface ReleaseSummary {
  readonly id: number
  readonly environmentId: number
  readonly number: number
  readonly createdAt: Date
  readonly commit: string
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
  } | null
}

interface ReleaseRow {
  id: number
  environment_id: number
  number: number
  created_at: Date
  commit: string
  build_number: number
  image_removed_at: Date | null
  pinned: boolean
  serves: boolean
  deploy_id: number | null
  kind: string
  state: string
  branch: string | null
  requested_by: string
}

const selectReleases = `select r.id, r.environment_id, r.number, r.created_at, r.pinned, b.commit, b.number as build_number,
    b.image_removed_at, coalesce(t.release_id = r.id and e.state <> 'stopped', false) as serves,
    d.id as deploy_id, d.kind, d.state, d.branch, d.requested_by
  from releases r
  join environments e on e.id = r.environment_id
  join builds b on b.id = r.build_id
  left join routes t on t.environment_id = r.environment_id
  -- Not "order by id limit 1": the planner then walks through the deploys of all environments.
  left join deploys d on d.id = (select (array_agg(f.id order by f.id))[1] from deploys f where f.release_id = r.id)`

const toSummary = (row: ReleaseRow): ReleaseSummary => ({
  id: row.id,
  environmentId: row.environment_id,
  number: row.number,
  createdAt: row.created_at,
  commit: row.commit,
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
