import { releaseKey, releaseSet } from '../../routing/index.ts'
import { haveAddresses, hostEntriesOf } from '../exposures.ts'
import { findExposures } from '../exposures-store.ts'
import { type InstanceRecord, listInstancesOfDeploy } from '../instances.ts'
import type { Tools } from '../steps/step.ts'
import type { AskedRelease } from './asked-store.ts'
import { recordAsleep, recordAwake, tellRelease } from './awake-store.ts'

/**
 * Leads the release's own address to its instance, which has passed its checks. False when it was told to end meanwhile, or its
 * environment shows no releases any more. Recorded first: what the proxy does not hold then, the comparison tells it. Safe to repeat.
 */
export async function leadAwake(tools: Tools, release: AskedRelease, instanceId: number): Promise<boolean> {
  const { db, router, addresses } = tools
  const { label, number, releaseId, environmentId, madeBy } = release
  return tools.whileRoutesHold(async () => {
    const exposures = await findExposures(db, environmentId)
    if (!haveAddresses(release, exposures)) return false
    const awake = await db.transaction(async (tx) => {
      const recorded = await recordAwake(tx, instanceId)
      if (recorded === 'is') await tellRelease(tx, 'release.woken', release)
      return recorded
    })
    if (awake === null) return false
    const [instance] = (await listInstancesOfDeploy(db, madeBy)).filter(({ id }) => id === instanceId)
    const { releases } = hostEntriesOf(release, exposures)
    if (instance?.address == null || releases === null) return false
    await router.defineSet(releaseSet(madeBy), [{ address: instance.address, port: instance.port }])
    await router.swap(releaseKey(releaseId), { set: releaseSet(madeBy), size: 1 })
    await router.addHost(addresses.releaseHost(label, number), releases.running)
    return true
  })
}

/**
 * New requests are led to Slipway again; those that are open may finish. Whoever calls it retires the deploy's instances then. False
 * when it had ended already.
 */
export async function putToSleep(
  tools: Tools,
  { id, label, releaseNumber }: Pick<InstanceRecord, 'id' | 'label' | 'releaseNumber'>,
): Promise<boolean> {
  return tools.whileRoutesHold(async () => {
    if (!(await recordAsleep(tools.db, id))) return false
    await tools.router.removeHost(tools.addresses.releaseHost(label, releaseNumber))
    return true
  })
}
