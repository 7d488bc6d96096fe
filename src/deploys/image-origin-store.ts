import type { Queryable } from '../postgres/database.ts'

/** The first release that has an image, and how long ago the image was made. */
export interface ImageOrigin {
  /** Null: it never became a release of an environment that is still there. */
  readonly release: number | null
  readonly environment: string | null
  readonly ageMs: number
}

export async function findImageOrigin(q: Queryable, buildId: number): Promise<ImageOrigin> {
  // Not by the id itself: the planner may then walk through the releases of all environments.
  const rows = await q.query<ImageOrigin>(
    `select r.number as release, e.name as environment, (extract(epoch from now() - b.finished_at) * 1000)::float8 as "ageMs"
     from builds b left join releases r on r.build_id = b.id left join environments e on e.id = r.environment_id
     where b.id = $1 order by r.id + 0 limit 1`,
    [buildId],
  )
  return rows[0] ?? { release: null, environment: null, ageMs: 0 }
}
