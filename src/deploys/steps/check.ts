import { SlipwayError } from '../../kernel/errors.ts'
import { type Instance, runChecks } from '../../runtime/index.ts'
import { type InstanceRecord, listInstancesOfRelease } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import type { Step, StepContext } from './step.ts'

/** All checks of all new instances must pass before any traffic goes to them. */
export const check: Step = async (context) => {
  const { deploy, tools, log, signal } = context
  const spec = await readReleaseSpec(deploy, tools)
  log.write('step', `Checking v${spec.number}`)
  const instances = await listInstancesOfRelease(tools.db, spec.releaseId)
  if (instances.length === 0) throw goneError(spec.number)
  await Promise.all(
    instances.map(async (record) =>
      runChecks({
        instance: await findContainer(context, record),
        port: spec.port,
        config: spec.build.config,
        healthcheck: spec.image.healthcheck,
        host: tools.addresses.hostHeader(tools.addresses.environmentHost(deploy.label)),
        scheme: tools.addresses.scheme,
        runtime: tools.runtime,
        clock: tools.clock,
        onAttempt: (text) => log.write('output', text),
        signal,
      }),
    ),
  )
}

async function findContainer({ tools }: StepContext, record: InstanceRecord): Promise<Instance> {
  const found = record.containerId === null ? null : await tools.runtime.inspect(record.containerId)
  if (found !== null) return found
  throw goneError(record.releaseNumber)
}

function goneError(release: number): SlipwayError {
  return new SlipwayError('check_failed', `The container of v${release} is gone: somebody removed it.`, {
    hint: 'Deploy again: slipway deploy',
  })
}
