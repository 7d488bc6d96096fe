import { environmentKey, releaseKey, releaseSet } from '../routing/index.ts'
import { freeAddress } from '../runtime/index.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { findExposures } from './exposures-store.ts'
import { findRouteOf, type InstanceRecord, isWeb, listInstancesOfDeploy, markRetired } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import { releasesOf } from './routes-of.ts'
import type { Deploy } from './deploy.ts'
import type { Tools } from './steps/step.ts'
import { untilCold } from './warm/warm.ts'

/** How often a draining set's open connections are counted. In the background: nobody waits for it. */
const countEveryMs = 250

/**
 * Lets what a deploy had started and traffic has left (or never reached) finish what it has, then stops and removes it. Safe to
 * repeat and to take up after a restart. The release's own address goes first: it never points to anything else. Workers have
 * no requests to wait for: they are told to end at once. What is kept warm waits until it is not.
 */
export async function drainAndRetire(tools: Tools, deployId: number, signal: AbortSignal): Promise<void> {
  const draining = (await listInstancesOfDeploy(tools.db, deployId)).filter((instance) => instance.state === 'draining')
  const hide = async (releases: readonly Hidden[]): Promise<void> => {
    for (const { label, number } of releases) await tools.router.removeHost(tools.addresses.releaseHost(label, number))
  }
  const idle = async (): Promise<void> => {
    const isWarm = draining.some(({ warmLeftMs }) => warmLeftMs > 0)
    const left = isWarm ? await untilCold(tools, deployId, signal) : draining
    await hide(await listHidden(tools, left))
    await Promise.all(left.filter(isWeb).map((instance) => waitUntilIdle(tools, instance, signal)))
  }
  const workers = draining.filter((instance) => !isWeb(instance))
  await Promise.all([idle(), ...workers.map((instance) => stop(tools, instance))])
  faultPoint('retire.begun')
  await removeInstances(tools, deployId)
}

interface Hidden {
  readonly label: string
  readonly id: number
  readonly number: number
}

/** The releases whose addresses lead to these instances of one deploy, but those that serve: theirs, and what they were started for. */
async function listHidden(tools: Tools, [first]: readonly InstanceRecord[]): Promise<Hidden[]> {
  if (first === undefined) return []
  const { label, environmentId } = first
  const found: Hidden[] = []
  for (const { releaseId: id, number } of releasesOf(first)) {
    if (!(await isServed(tools, { environmentId, releaseId: id }))) found.push({ label, id, number })
  }
  return found
}

/** The same release serves again, or still, started by another deploy. */
async function isServed(
  { db }: Tools,
  { environmentId, releaseId }: Pick<InstanceRecord, 'environmentId' | 'releaseId'>,
): Promise<boolean> {
  const route = await findRouteOf(db, environmentId)
  return route !== null && route.isStopped !== true && route.releaseId === releaseId
}

async function stop(tools: Tools, { containerId, state, stopMs }: InstanceRecord): Promise<void> {
  if (containerId !== null) await tools.runtime.stop(containerId, state === 'draining' ? stopMs : 0)
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
    await tools.router.removeHost(tools.addresses.otherReleasesHost(deploy.label))
    await tools.router.removeKey(environmentKey(deploy.environmentId))
  } else {
    const exposures = await findExposures(tools.db, deploy.environmentId)
    await leadTo(tools, route, await listInstancesOfDeploy(tools.db, route.deployId), exposures)
  }
  if (deploy.releaseNumber !== null && (route?.isStopped === true || deploy.releaseId !== route?.releaseId)) {
    await tools.router.removeHost(tools.addresses.releaseHost(deploy.label, deploy.releaseNumber))
  }
}

/** Ends the instances of a deploy that do not serve, and everything that names them. Safe to repeat. */
export async function removeInstances(tools: Tools, deployId: number): Promise<void> {
  const instances = await listInstancesOfDeploy(tools.db, deployId)
  // Whoever asked had read that they do not serve; meanwhile they may.
  if (instances.some(({ state }) => state === 'serving' || state === 'waking' || state === 'awake')) return
  await Promise.all(instances.map((instance) => stop(tools, instance)))
  await removeContainersOf(tools, deployId)
  const [first] = instances
  if (first === undefined) return
  faultPoint('retire.removed')
  await tools.whileRoutesHold(async () => {
    for (const { id } of await listHidden(tools, instances)) await tools.router.removeKey(releaseKey(id))
    await tools.router.removeSet(releaseSet(deployId))
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
async function removeContainersOf(tools: Tools, deployId: number): Promise<void> {
  for (const container of await tools.runtime.list({ deploy: deployId }))
    await tools.runtime.remove(container.containerId)
}
