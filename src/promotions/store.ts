import type { Queryable } from '../postgres/database.ts'

/** The oldest release of a build that is there: the build got that one's variables. */
export async function findMaker(q: Queryable, buildId: number): Promise<number> {
  // Not min(id): the planner may then walk through the releases of all environments.
  const rows = await q.query<{ id: number }>('select min(id + 0) as id from releases where build_id = $1', [buildId])
  return (rows[0] as { id: number }).id
}
