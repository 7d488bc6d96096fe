import { environmentKey, releaseKey, releaseSet } from '../routing/index.ts'
import { freeAddress } from '../runtime/index.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { findRouteOf, type InstanceRecord, listInstancesOfRelease, markRetired } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import type { Deploy } from './deploy.ts'
import type { Tools } from './steps/index.ts'

/** How often a draining set's open connections are counted. In the background: nobody waits for it. */
const countEveryMs = 250

/**
 * Lets a release that traffic has left (or never reached) finish what it has, then stops and removes it. Safe to repeat and to
 * take up after a restart. The release's own address goes first: it never points to anything else.
 */
export async function drainAndRetire(tools: Tools, releaseId: number, signal: AbortSignal): Promise<void> {
  const draining = (await listInstancesOfRelease(tools.db, releaseId)).filter(
    (instance) => instance.state === 'draining',
  )
  const [first] = draining
  if (first !== undefined) await tools.router.removeHost(tools.addresses.releaseHost(first.label, first.releaseNumber))
  await Promise.all(draining.map((instance) => waitUntilIdle(tools, instance, signal)))
  faultPoint('retire.begun')
  await removeInstances(tools, releaseId)
}

async function waitUntilIdle(tools: Tools, instance: InstanceRecord, signal: AbortSignal): Promise<void> {
  if (instance.address === null) return
  const target = { address: instance.address, port: instance.port }
  const deadline = tools.clock.monotonicMs() + (instance.drainLeftMs ?? 0)
  const left = (): number => deadline - tools.clock.monotonicMs()
  // Whatever the time: who would be led to nobody must not be.
  while (left() > 0 || (await tools.router.mayLeadAsBefore().catch(() => false))) {
    // Unknown is not zero: then only the time decides.
    const open = await tools.router.openConnections(target).catch(() => null)
    if (open === 0) return
    const untilDeadlineMs = left()
    const pauseMs = untilDeadlineMs > 0 ? Math.min(countEveryMs, Math.max(1, untilDeadlineMs)) : countEveryMs
    await tools.clock.sleep(pauseMs, signal)
  }
}

/** Points an environment back at what the database says it serves: after a swap that could not be finished. */
export async function restoreRoute(tools: Tools, deploy: Deploy): Promise<void> {
  const route = await findRouteOf(tools.db, deploy.environmentId)
  if (route === null) {
    await tools.router.removeHost(tools.addresses.environmentHost(deploy.label))
    await tools.router.removeKey(environmentKey(deploy.environmentId))
  } else {
    await leadTo(tools, route, await listInstancesOfRelease(tools.db, route.releaseId))
  }
  if (deploy.releaseNumber !== null) {
    await tools.router.removeHost(tools.addresses.releaseHost(deploy.label, deploy.releaseNumber))
  }
}

/** Ends the instances of a release that does not serve, and everything that names them. Safe to repeat. */
export async function removeInstances(tools: Tools, releaseId: number): Promise<void> {
  const instances = await listInstancesOfRelease(tools.db, releaseId)
  // Whoever asked had read that it does not serve; meanwhile it may.
  if (instances.some((instance) => instance.state === 'serving')) return
  for (const instance of instances) {
    if (instance.containerId !== null) {
      await tools.runtime.stop(instance.containerId, instance.state === 'draining' ? instance.stopMs : 0)
    }
  }
  await removeContainersOf(tools, releaseId)
  if (instances.length === 0) return
  faultPoint('retire.removed')
  await tools.whileRoutesHold(async () => {
    await tools.router.removeKey(releaseKey(releaseId))
    await tools.router.removeSet(releaseSet(releaseId))
    await tools.db.transaction(async (tx) => {
      for (const instance of instances) {
        await freeAddress(tx, instance.id)
        await markRetired(tx, instance.id)
      }
    })
    faultPoint('retire.recorded')
  })
}

/** By label, so that also those go whose id was never recorded, and the release commands' containers. */
async function removeContainersOf(tools: Tools, releaseId: number): Promise<void> {
  for (const container of await tools.runtime.list({ release: releaseId }))
    await tools.runtime.remove(container.containerId)
}
