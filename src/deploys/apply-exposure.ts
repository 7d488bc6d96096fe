import { findExposures, hasRules, hostEntriesOf } from './exposures.ts'
import { findRouteOf, listInstancesOfDeploy } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import type { Tools } from './steps/index.ts'

/**
 * Makes the proxy hold who may ask for an environment's sites, as the database has it. Rules are there before a host names them
 * and go after, so that nobody gets in between who may not.
 */
export async function applyExposure(tools: Tools, environmentId: number): Promise<void> {
  const { db, router, addresses } = tools
  await tools.whileRoutesHold(async () => {
    const exposures = await findExposures(db, environmentId)
    const access = exposures.get(environmentId)?.access ?? null
    const rules = access !== null && hasRules(access) ? access : null
    if (rules !== null) await router.setAccess(environmentId, rules)
    const route = await findRouteOf(db, environmentId)
    if (route !== null) {
      const { label, deployId, releaseNumber } = route
      const { environment, release } = hostEntriesOf(route, exposures)
      const releaseHost = addresses.releaseHost(label, releaseNumber)
      await router.addHost(addresses.environmentHost(label), environment)
      if (release === null) await router.removeHost(releaseHost)
      else {
        await leadTo(tools, route, await listInstancesOfDeploy(db, deployId), exposures)
        await router.addHost(releaseHost, release)
      }
    }
    if (rules === null) await router.setAccess(environmentId, null)
  })
}
