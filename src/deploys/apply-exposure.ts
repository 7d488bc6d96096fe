import { accessOf, findExposures } from './exposures.ts'
import { findRouteOf, listInstancesOfDeploy, type Route } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import { routesOf } from './routes-of.ts'
import type { Tools } from './steps/index.ts'

/**
 * Makes the proxy hold who may ask for an environment's sites, as the database has it. Rules are there before a host names them
 * and go after, so that nobody gets in between who may not.
 */
export async function applyExposure(tools: Tools, environmentId: number): Promise<void> {
  const { db, router } = tools
  await tools.whileRoutesHold(async () => {
    const rules = accessOf(await findExposures(db, environmentId)).get(environmentId) ?? null
    if (rules !== null) await router.setAccess(environmentId, rules)
    const route = await findRouteOf(db, environmentId)
    if (route !== null) await applyToHosts(tools, route)
    if (rules === null) await router.setAccess(environmentId, null)
  })
}

async function applyToHosts(tools: Tools, route: Route): Promise<void> {
  const { db, router, addresses } = tools
  const exposures = await findExposures(db, route.environmentId)
  const instances = await listInstancesOfDeploy(db, route.deployId)
  const { hosts } = routesOf({ routes: [route], instances, exposures, hosts: addresses })
  // The release's own address may be a new one.
  await leadTo(tools, route, instances, exposures)
  for (const [host, entry] of hosts) await router.addHost(host, entry)
  const { label, releaseNumber } = route
  for (const host of [addresses.releaseHost(label, releaseNumber), addresses.otherReleasesHost(label)]) {
    if (!hosts.has(host)) await router.removeHost(host)
  }
}
