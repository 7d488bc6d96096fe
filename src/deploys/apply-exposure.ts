import { haveAddresses, rulesOf } from './exposures.ts'
import { findExposures } from './exposures-store.ts'
import { drainAwake, findRouteOf, listInstancesOfEnvironment, type Route } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import { releasesOf, routesOf } from './routes-of.ts'
import type { Tools } from './steps/step.ts'

/**
 * Makes the proxy hold who may ask for an environment's sites, as the database has it. Rules are there before a host names them
 * and go after, so that nobody gets in between who may not.
 * @returns the deploys whose instances drain now: what ran for the addresses of releases, if there are none any more
 */
export async function applyExposure(tools: Tools, environmentId: number): Promise<number[]> {
  const { db, router } = tools
  return tools.whileRoutesHold(async () => {
    const exposures = await findExposures(db, environmentId)
    const rules = rulesOf(exposures).get(environmentId) ?? null
    if (rules !== null) await router.setRules(environmentId, rules)
    const route = await findRouteOf(db, environmentId)
    if (route !== null) await applyToHosts(tools, route)
    if (rules === null) await router.setRules(environmentId, null)
    return route === null || haveAddresses(route, exposures) ? [] : drainAwake(db, environmentId)
  })
}

async function applyToHosts(tools: Tools, route: Route): Promise<void> {
  const { db, router, addresses } = tools
  const { label } = route
  const exposures = await findExposures(db, route.environmentId)
  const all = await listInstancesOfEnvironment(db, route.environmentId)
  const instances = all.filter(({ deployId }) => deployId === route.deployId)
  const { hosts } = routesOf({ routes: [route], instances: all, exposures, hosts: addresses })
  // The release's own address may be a new one.
  await leadTo(tools, route, instances, exposures)
  for (const [host, entry] of hosts) await router.addHost(host, entry)
  const running = new Set([route, ...all].flatMap(releasesOf).map(({ number }) => number))
  const others = [...running].map((number) => addresses.releaseHost(label, number))
  for (const host of [...others, addresses.otherReleasesHost(label)]) {
    if (!hosts.has(host)) await router.removeHost(host)
  }
}
