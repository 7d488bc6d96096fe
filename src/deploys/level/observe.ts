import { type Instance, labelNames, type SeenContainer, tryConnect } from '../../runtime/index.ts'
import { listExposures } from '../exposures-store.ts'
import { type InstanceRecord, isWeb, listEndedDeploys, listInstances, listRoutes } from '../instances.ts'
import { hasOldVariables } from './old-variables.ts'
import type { There, Wanted } from './plan-reconcile.ts'
import { routesOf } from '../routes-of.ts'
import type { Tools } from '../steps/index.ts'
import { listRunningDeploys } from '../store.ts'

const connectMs = 500
/** An engine answers some hundred inspects a second. */
const looksAtOnce = 8

export interface Observed {
  readonly wanted: Wanted & { readonly routeCount: number }
  readonly there: There
}

/**
 * Reads what a comparison needs: some questions to the database, one list of the engine and the proxy's maps, whatever the number
 * of environments; what looks wrong is then looked at by itself. Throws when something does not answer.
 */
export async function observe(tools: Tools): Promise<Observed> {
  const { db, router, addresses: hosts } = tools
  // Before the rows: what was started after it has a row already, and one that it lacks is inspected.
  const containers = await tools.runtime.survey()
  const { instances, rows, exposures, routes, damages } = await tools.whileRoutesHold(async () => ({
    instances: await listInstances(db),
    rows: await listRoutes(db),
    exposures: await listExposures(db),
    routes: await router.read(),
    damages: await router.damages(),
  }))
  const runningDeploys = new Set(await listRunningDeploys(db))
  const looked = await lookAtDown(tools, instances, containers)
  const wanted = {
    instances,
    routes: routesOf({ routes: rows, instances, exposures, hosts }),
    routeCount: rows.length,
    runningDeploys,
    // After the list: what is in there and is still wanted has been begun before.
    runs: new Set(namedRuns(containers).filter((id) => tools.runs?.has(id) === true)),
    waking: new Set(instances.map((i) => i.releaseId).filter((id) => tools.wakes?.isWaking(id) === true)),
    endedDeploys: new Set(await listEndedDeploys(db, namedDeploys(instances, containers))),
  }
  const listening = await findListening(instances, looked)
  return { wanted, there: { containers, looked, listening, routes, damages, nowMs: tools.clock.now().getTime() } }
}

/**
 * The list may be older than the instance, or empty for a reason of its own: one that it does not show running is inspected. So is one
 * that has a value that was taken out since.
 */
async function lookAtDown(
  { runtime }: Tools,
  instances: readonly InstanceRecord[],
  containers: readonly SeenContainer[],
): Promise<Map<number, Instance | null>> {
  const running = new Map(containers.filter(({ state }) => state === 'running').map((c) => [c.containerId, c]))
  const suspects = instances.filter((i) => {
    const found = i.containerId === null ? undefined : running.get(i.containerId)
    if (found !== undefined) return hasOldVariables(i, found)
    return i.state === 'serving' || i.state === 'awake'
  })
  const looked = new Map<number, Instance | null>()
  for (let at = 0; at < suspects.length; at += looksAtOnce) {
    const look = async ({ id, containerId }: InstanceRecord): Promise<void> =>
      void looked.set(id, containerId === null ? null : await runtime.inspect(containerId))
    await Promise.all(suspects.slice(at, at + looksAtOnce).map(look))
  }
  return looked
}

/** Of the instances that are down those that run and, for web, listen: they came back while nobody watched. */
async function findListening(
  instances: readonly InstanceRecord[],
  looked: ReadonlyMap<number, Instance | null>,
): Promise<Set<number>> {
  const listening = new Set<number>()
  const runs = ({ id }: InstanceRecord): boolean => !looked.has(id) || looked.get(id)?.state === 'running'
  const silent = instances.filter((i) => i.state === 'serving' && i.downSince !== null && runs(i))
  const connect = async ({ id, process, address, port }: InstanceRecord): Promise<void> => {
    if (!isWeb({ process })) return void listening.add(id)
    if (address === null) return
    const signal = AbortSignal.timeout(2 * connectMs)
    if ((await tryConnect({ address, port }, { timeoutMs: connectMs, signal })) === 'open') listening.add(id)
  }
  await Promise.all(silent.map(connect))
  return listening
}

const namedRuns = (containers: readonly SeenContainer[]): string[] =>
  containers.flatMap(({ labels }) => labels[labelNames.run] ?? [])

function namedDeploys(instances: readonly InstanceRecord[], containers: readonly SeenContainer[]): number[] {
  const ids = [
    ...instances.filter((i) => i.state === 'starting').map((i) => i.deployId),
    ...containers.map(({ labels }) => Number(labels[labelNames.deploy])),
  ]
  return [...new Set(ids.filter((id) => Number.isSafeInteger(id)))]
}
