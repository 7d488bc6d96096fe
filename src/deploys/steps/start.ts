import { faultPoint } from '../../kernel/fault-point.ts'
import { violates } from '../../postgres/index.ts'
import { takeAddress } from '../../runtime/index.ts'
import { type InstanceRecord, insertInstance, isWeb, listInstancesOfDeploy, recordContainer } from '../instances.ts'
import { planInstances } from '../plan-instances.ts'
import { type ReleaseSpec, readReleaseSpec } from '../release-spec.ts'
import { readScale } from '../scale-store.ts'
import { makeRoom } from '../wake/make-room.ts'
import { takeWarm } from '../warm/warm.ts'
import type { Step, StepContext } from './step.ts'

/** Starts the new web instances beside the old ones. There must be room for the workers too, which start after the swap. */
export const start: Step = async (context) => {
  const { assertHeld, deploy, tools, log, signal } = context
  const spec = await readReleaseSpec(deploy, tools)
  if (deploy.instancesOf !== deploy.id) return
  log.write('step', `Starting v${spec.number}`)
  if (await takeWarm(context, spec)) return
  const instances = await findOrPlan(context, spec)
  const counts = describeCounts(instances)
  if (counts !== null) log.write('detail', counts)
  for (const instance of instances) {
    const container = spec.instance(instance)
    if (instance.containerId === null) await makeRoom(context, container.limits.memoryBytes)
    if (!isWeb(instance)) continue
    await assertHeld()
    faultPoint('deploy.start.before')
    const started = await tools.runtime.start(container, signal)
    faultPoint('deploy.start.started')
    await recordContainer(tools.db, instance.id, started.containerId)
  }
}

/** The rows come before the containers: a crash in between leaves nothing that nobody knows. */
async function findOrPlan({ deploy, tools }: StepContext, spec: ReleaseSpec): Promise<InstanceRecord[]> {
  const planned = await listInstancesOfDeploy(tools.db, deploy.id)
  if (planned.length > 0) return planned
  const { drainMs, stopMs } = spec.build.config
  const plan = tools.db.transaction(async (tx) => {
    const scale = await readScale(tx, deploy.environmentId)
    for (const place of planInstances(spec.processes, { live: deploy.live, scale })) {
      const id = await insertInstance(tx, {
        ...place,
        releaseId: spec.releaseId,
        deployId: deploy.id,
        port: spec.port.port,
        drainMs,
        stopMs,
      })
      await takeAddress(tx, id, tools.range)
    }
  })
  await plan.catch((error: unknown) => {
    // Whoever had the deploy before was frozen in the middle of this, and is done with it now.
    if (!violates(error, 'instances_deploy_id_process_position_key')) throw error
  })
  return listInstancesOfDeploy(tools.db, deploy.id)
}

/** `3 × web; after the swap 2 × worker`; null when there is nothing but one web. */
function describeCounts(instances: readonly InstanceRecord[]): string | null {
  const counts = [...Map.groupBy(instances, ({ process }) => process)].map(([name, of]) => ({ name, count: of.length }))
  const told = (all: typeof counts): string => all.map(({ name, count }) => `${count} × ${name}`).join(', ')
  const web = told(counts.filter(({ name }) => name === 'web'))
  const workers = counts.filter(({ name }) => name !== 'web')
  if (workers.length === 0) return instances.length === 1 ? null : web
  return `${web}; after the swap ${told(workers)}`
}
