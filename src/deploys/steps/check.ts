import { SlipwayError } from '../../kernel/errors.ts'
import { type CheckRequest, runChecks } from '../../runtime/index.ts'
import type { Deploy } from '../deploy.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import { countRestartsBefore } from './restarts-before.ts'
import type { Step, Tools } from './step.ts'

/** All checks of all new web instances must pass before any traffic goes to them. Workers start after the swap. */
export const check: Step = async ({ deploy, tools, log, signal }) => {
  const spec = await readReleaseSpec(deploy, tools)
  log.write('step', `Checking v${spec.number}`)
  const instances = (await listInstancesOfDeploy(tools.db, deploy.instancesOf)).filter(isWeb)
  if (instances.length === 0) throw goneError(spec.number)
  await Promise.all(
    instances.map(async (record) =>
      runChecks({
        instance: await recorded(record, deploy, tools),
        port: spec.port,
        config: spec.build.config,
        healthcheck: spec.image.healthcheck,
        host: tools.addresses.hostHeader(tools.addresses.environmentHost(deploy.label)),
        scheme: tools.addresses.scheme,
        runtime: tools.runtime,
        clock: tools.clock,
        ...(tools.probes === undefined ? {} : { probes: tools.probes }),
        onAttempt: (text) => log.write('output', text),
        signal,
      }),
    ),
  )
}

/** As recorded: that it is really there is the first thing that the checks look at. */
async function recorded(
  { containerId, address, releaseNumber }: InstanceRecord,
  deploy: Deploy,
  tools: Tools,
): Promise<CheckRequest['instance']> {
  if (containerId === null) throw goneError(releaseNumber)
  return { containerId, address, restarts: await countRestartsBefore(deploy, containerId, tools) }
}

function goneError(release: number): SlipwayError {
  return new SlipwayError('check_failed', `The container of v${release} is gone: somebody removed it.`, {
    hint: 'Deploy again: slipway deploy',
  })
}
