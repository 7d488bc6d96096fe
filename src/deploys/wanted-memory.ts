import type { Queryable } from '../postgres/database.ts'
import type { WantedMemory } from '../runtime/index.ts'
import { listInstancesOfEnvironment } from './instances.ts'

/** What one more instance of an environment will need, as far as what serves there now tells. */
export function wantedMemory(db: Queryable, environmentId: number, limitBytes: number): WantedMemory {
  return {
    limitBytes,
    async listServing() {
      const instances = await listInstancesOfEnvironment(db, environmentId)
      return instances.flatMap(({ state, containerId }) =>
        state === 'serving' && containerId !== null ? [containerId] : [],
      )
    },
    readLimits: () => sumMemoryLimits(db),
  }
}

/** What all instances that are there may take together. */
async function sumMemoryLimits(q: Queryable): Promise<number> {
  const rows = await q.query<{ sum: number }>(
    `select coalesce(sum((b.config -> 'resources' ->> 'memoryBytes')::float8), 0) as sum
     from instances i join releases r on r.id = i.release_id join builds b on b.id = r.build_id
     where i.state in ('serving', 'awake', 'draining')`,
  )
  return rows[0]?.sum ?? 0
}
