import { keepChecked } from '../../runtime/index.ts'
import { isWeb, listInstancesOfDeploy } from '../instances.ts'
import type { ReleaseSpec } from '../release-spec.ts'
import type { Tools } from './step.ts'

/** Lets the engine bring a deploy's checked instances back from now on; throws `check_failed` when one has ended meanwhile. */
export async function keepInstances(deployId: number, spec: ReleaseSpec, tools: Tools): Promise<void> {
  const instances = (await listInstancesOfDeploy(tools.db, deployId)).filter(isWeb)
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
