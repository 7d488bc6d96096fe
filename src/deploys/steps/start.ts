import { faultPoint } from '../../kernel/fault-point.ts'
import { violates } from '../../postgres/index.ts'
import { takeAddress } from '../../runtime/index.ts'
import { type InstanceRecord, insertInstance, listInstancesOfRelease, recordContainer } from '../instances.ts'
import { type ReleaseSpec, readReleaseSpec } from '../release-spec.ts'
import { wantedMemory } from '../wanted-memory.ts'
import type { Step, StepContext } from './step.ts'

/** Starts the new instance beside the old one. */
export const start: Step = async (context) => {
  const { assertHeld, deploy, tools, log, signal } = context
  const spec = await readReleaseSpec(deploy, tools)
  log.write('step', `Starting v${spec.number}`)
  for (const instance of await findOrPlan(context, spec)) {
    const container = spec.container({ name: String(instance.position), kind: 'instance', address: instance.address })
    if (instance.containerId === null) {
      const { memoryBytes } = container.limits
      await tools.memory?.assertForStart(wantedMemory(tools.db, deploy.environmentId, memoryBytes))
    }
    await assertHeld()
    faultPoint('deploy.start.before')
    const started = await tools.runtime.start(container, signal)
    faultPoint('deploy.start.started')
    await recordContainer(tools.db, instance.id, started.containerId)
  }
}

/** The rows come before the containers: a crash in between leaves nothing that nobody knows. */
async function findOrPlan({ deploy, tools }: StepContext, spec: ReleaseSpec): Promise<InstanceRecord[]> {
  const planned = await listInstancesOfRelease(tools.db, spec.releaseId)
  if (planned.length > 0) return planned
  const { drainMs, stopMs } = spec.build.config
  const plan = tools.db.transaction(async (tx) => {
    const id = await insertInstance(tx, {
      releaseId: spec.releaseId,
      deployId: deploy.id,
      position: 1,
      port: spec.port.port,
      drainMs,
      stopMs,
    })
    await takeAddress(tx, id, tools.range)
  })
  await plan.catch((error: unknown) => {
    // Whoever had the deploy before was frozen in the middle of this, and is done with it now.
    if (!violates(error, 'instances_release_id_position_key')) throw error
  })
  return listInstancesOfRelease(tools.db, spec.releaseId)
}
