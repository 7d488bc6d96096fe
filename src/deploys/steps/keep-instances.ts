import { keepChecked } from '../../runtime/index.ts'
import type { Deploy } from '../deploy.ts'
import { isWeb, listInstancesOfDeploy } from '../instances.ts'
import type { ReleaseSpec } from '../release-spec.ts'
import { countRestartsBefore } from './restarts-before.ts'
import type { Tools } from './step.ts'

/** Lets the engine bring a deploy's checked instances back from now on; throws `check_failed` when one has ended meanwhile. */
export async function keepInstances(deploy: Deploy, spec: ReleaseSpec, tools: Tools): Promise<void> {
  const instances = (await listInstancesOfDeploy(tools.db, deploy.instancesOf)).filter(isWeb)
  await Promise.all(
    instances.map(async ({ containerId, address }) => {
      if (containerId === null) return
      const restarts = await countRestartsBefore(deploy, containerId, tools)
      await keepChecked({
        runtime: tools.runtime,
        instance: { containerId, address, restarts },
        config: spec.build.config,
      })
    }),
  )
}
