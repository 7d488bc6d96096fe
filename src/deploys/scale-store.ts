import type { Queryable } from '../postgres/database.ts'
import type { Scale } from './plan-instances.ts'

/** What somebody asked for, from the next deploy on. */
export async function readScale(q: Queryable, environmentId: number): Promise<Scale> {
  const rows = await q.query<{ process: string; instances: number }>(
    'select process, instances from scales where environment_id = $1',
    [environmentId],
  )
  return new Map(rows.map(({ process, instances }) => [process, instances]))
}
