import { SlipwayError } from '../../kernel/errors.ts'
import { runChecks } from '../../runtime/index.ts'
import { listInstancesOfRelease } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import type { Step } from './step.ts'

/** All checks of all new instances must pass before any traffic goes to them. */
export const check: Step = async ({ deploy, tools, log, signal }) => {
  const spec = await readReleaseSpec(deploy, tools)
  log.write('step', `Checking v${spec.number}`)
  const instances = await listInstancesOfRelease(tools.db, spec.releaseId)
  await Promise.all(
    instances.map(async (instance) => {
      if (instance.containerId === null || instance.address === null)
        throw new SlipwayError('internal', `Instance ${instance.id} was not started.`)
      await runChecks({
        containerId: instance.containerId,
        address: instance.address,
        port: spec.port,
        config: spec.build.config,
        image: spec.image,
        host: tools.addresses.environmentHost(deploy.label),
        scheme: tools.addresses.scheme,
        runtime: tools.runtime,
        clock: tools.clock,
        onAttempt: (text) => log.write('detail', text),
        signal,
      })
    }),
  )
}
