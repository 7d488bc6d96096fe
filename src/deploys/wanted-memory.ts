import type { Queryable } from '../postgres/database.ts'
import type { WantedMemory } from '../runtime/index.ts'
import { listInstancesOfEnvironment } from './instances.ts'
import { sumMemoryLimits } from './serving-store.ts'

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
