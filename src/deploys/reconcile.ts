import { environmentKey, releaseKey, type Routes, type RouteTarget, releaseSet, type Target } from '../routing/index.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import { type Instance, labelNames } from '../runtime/index.ts'
import { hasEnded } from './deploy.ts'
import { type InstanceRecord, listInstances, listInstancesOfRelease, listRoutes, recordContainer } from './instances.ts'
import { readReleaseSpec } from './release-spec.ts'
import { removeInstances } from './retire.ts'
import type { Tools } from './steps/index.ts'
import { findDeploy, getDeploy, listRunningDeploys } from './store.ts'

/** A container that nobody knows is left alone this long: somebody may be about to record it. */
const strangerAgeMs = 10 * 60 * 1000
const startLimitMs = 60_000

export interface Reconciled {
  readonly routes: number
  readonly started: number
  readonly removed: number
  /** Releases that were draining; their drain goes on. */
  readonly draining: readonly number[]
}

/**
 * Makes what is there agree with the database, which wins: routes in the proxy, serving instances in the engine, and nothing
 * else with this installation's label. What does not answer is unknown: then this throws and removes nothing.
 */
export async function reconcile(tools: Tools): Promise<Reconciled> {
  const containers = await tools.runtime.list()
  const instances = await levelRoutes(tools, containers)
  const started = await startServing(tools, instances, containers)
  if (started > 0) await levelRoutes(tools, await tools.runtime.list())
  const removed = (await removeLeftOver(tools, instances, containers)) + (await tools.builds.sweep())
  const draining = [...new Set(instances.filter((i) => i.state === 'draining').map((i) => i.releaseId))]
  return { routes: (await listRoutes(tools.db)).length, started, removed, draining }
}

/** @returns the instances that the routes were made from */
async function levelRoutes(tools: Tools, containers: readonly Instance[]): Promise<InstanceRecord[]> {
  return tools.whileRoutesHold(async () => {
    const known = await listInstances(tools.db)
    const down = await findDown(tools, known, containers)
    await tools.router.replaceAll(await wantedRoutes(tools, known, down))
    return known
  })
}

/**
 * Releases that serve and of which nothing runs: requests to them are answered at once and do not wait for an address that
 * nobody has. Whoever follows the engine's events points the traffic back when an instance listens again.
 */
async function findDown(
  tools: Tools,
  instances: readonly InstanceRecord[],
  containers: readonly Instance[],
): Promise<ReadonlySet<number>> {
  const running = new Set(containers.filter(isRunning).map((c) => c.containerId))
  const down = new Set<number>()
  const up = new Set<number>()
  for (const { containerId, releaseId } of instances.filter((i) => i.state === 'serving')) {
    // The list may be older than the instance.
    const runs =
      containerId !== null && (running.has(containerId) || isRunning(await tools.runtime.inspect(containerId)))
    ;(runs ? up : down).add(releaseId)
  }
  for (const releaseId of up) down.delete(releaseId)
  return down
}

const isRunning = (container: Instance | null): boolean => container?.state === 'running'

/** The proxy's maps as the database wants them. */
async function wantedRoutes(
  tools: Tools,
  instances: readonly InstanceRecord[],
  down: ReadonlySet<number>,
): Promise<Routes> {
  const hosts = new Map<string, string>()
  const keys = new Map<string, RouteTarget>()
  const sets = new Map<string, readonly Target[]>()
  const targetsOf = Map.groupBy(
    instances.filter((instance) => instance.state !== 'starting' && instance.address !== null),
    (instance) => instance.releaseId,
  )
  for (const [releaseId, members] of targetsOf) {
    sets.set(
      releaseSet(releaseId),
      members.map(({ address, port }) => ({ address: address as string, port })),
    )
  }
  for (const route of await listRoutes(tools.db)) {
    const size = sets.get(releaseSet(route.releaseId))?.length ?? 0
    const to: RouteTarget =
      size === 0 || down.has(route.releaseId) ? { state: 'failed' } : { set: releaseSet(route.releaseId), size }
    hosts.set(tools.addresses.environmentHost(route.label), environmentKey(route.environmentId))
    keys.set(environmentKey(route.environmentId), to)
    if (!route.live) {
      hosts.set(tools.addresses.releaseHost(route.label, route.releaseNumber), releaseKey(route.releaseId))
      keys.set(releaseKey(route.releaseId), to)
    }
  }
  return { hosts, keys, sets }
}

/** Serving instances whose container stopped or is gone are started again, from the same image and with the same address. */
async function startServing(
  tools: Tools,
  instances: readonly InstanceRecord[],
  containers: readonly Instance[],
): Promise<number> {
  const up = new Set(containers.filter(isUp).map((c) => c.containerId))
  const down = instances.filter((i) => i.state === 'serving' && (i.containerId === null || !up.has(i.containerId)))
  let started = 0
  for (const instance of down) {
    try {
      if (await startAgain(tools, instance)) started += 1
    } catch (error) {
      if (isDatabaseAway(error)) throw error
      tools.logger.error('a serving instance could not be started again', {
        instance: instance.id,
        label: instance.label,
        error,
      })
    }
  }
  return started
}

const isUp = (container: Instance): boolean => container.state === 'running' || container.state === 'restarting'

/** The list that said it is down may be older than the instance: looked at once more. False when there is nothing to do. */
async function startAgain(tools: Tools, { id, releaseId, deployId, position }: InstanceRecord): Promise<boolean> {
  const instance = (await listInstancesOfRelease(tools.db, releaseId)).find((i) => i.id === id && i.state === 'serving')
  if (instance === undefined) return false
  const found = instance.containerId === null ? null : await tools.runtime.inspect(instance.containerId)
  if (found !== null && isUp(found)) return false
  // One that has run is not started over: its log and exit code were read.
  if (found !== null) await tools.runtime.remove(found.containerId)
  const spec = await readReleaseSpec(await getDeploy(tools.db, deployId), tools)
  const container = spec.container({ name: String(position), kind: 'instance', address: instance.address })
  const { containerId } = await tools.runtime.start(container, AbortSignal.timeout(startLimitMs))
  await recordContainer(tools.db, id, containerId)
  await tools.runtime.keepRunning(containerId)
  return true
}

/** Ends what deploys that have ended left behind, and old containers that carry our label but that nothing knows. */
async function removeLeftOver(
  tools: Tools,
  instances: readonly InstanceRecord[],
  containers: readonly Instance[],
): Promise<number> {
  let removed = 0
  for (const releaseId of new Set(instances.filter((i) => i.state === 'starting').map((i) => i.releaseId))) {
    const deployId = instances.find((i) => i.releaseId === releaseId)?.deployId as number
    const deploy = await findDeploy(tools.db, deployId)
    if (deploy === null || hasEnded(deploy.state)) {
      await removeInstances(tools, releaseId)
      removed += 1
    }
  }
  const kept = new Set(instances.map((i) => String(i.releaseId)))
  const active = new Set((await listRunningDeploys(tools.db)).map(String))
  for (const container of containers) {
    if (isWanted(container, kept, active)) continue
    const known = await isOfEndedDeploy(tools, container)
    if (!known && tools.clock.now().getTime() - container.createdAt.getTime() < strangerAgeMs) continue
    await tools.runtime.remove(container.containerId)
    removed += 1
  }
  return removed
}

function isWanted(container: Instance, keptReleases: ReadonlySet<string>, activeDeploys: ReadonlySet<string>): boolean {
  // A build's containers belong to the builder.
  if (container.labels[labelNames.kind] === 'build') return true
  const deploy = container.labels[labelNames.deploy]
  if (deploy !== undefined && activeDeploys.has(deploy)) return true
  return (
    container.labels[labelNames.kind] === 'instance' && keptReleases.has(container.labels[labelNames.release] ?? '')
  )
}

async function isOfEndedDeploy(tools: Tools, container: Instance): Promise<boolean> {
  const id = Number(container.labels[labelNames.deploy])
  if (!Number.isSafeInteger(id)) return false
  const deploy = await findDeploy(tools.db, id)
  return deploy !== null && hasEnded(deploy.state)
}
