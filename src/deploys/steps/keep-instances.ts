import { keepChecked } from '../../runtime/index.ts'
import { listInstancesOfRelease } from '../instances.ts'
import type { ReleaseSpec } from '../release-spec.ts'
import type { Tools } from './step.ts'

/** Lets the engine bring a release's instances back from now on; throws `check_failed` when one has ended meanwhile. */
export async function keepInstances(spec: ReleaseSpec, tools: Tools): Promise<void> {
  const instances = await listInstancesOfRelease(tools.db, spec.releaseId)
  await Promise.all(
    instances.map(async ({ containerId, address }) => {
      if (containerId === null) return
      await keepChecked({
        runtime: tools.runtime,
        instance: { containerId, address },
        config: spec.build.config,
      })
    }),
  )
}
