import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import type { Transaction } from '../postgres/database.ts'
import type { DeployRequest } from './deploy.ts'
import { hostEntriesOf } from './exposures.ts'
import { findExposures } from './exposures-store.ts'
import { drainServing, findRouteOf, listInstancesOfDeploy, type Route } from './instances.ts'
import { leadTo } from './lead-routes.ts'
import { listLine, lockLine } from './line-store.ts'
import { findServed, recordStopped } from './serving-store.ts'
import type { Tools } from './steps/index.ts'

/*
 * An environment that is stopped: its address says so, and nothing of it runs. What it served stays its release, and comes back
 * by a deploy of the kind `start`; any other deploy that goes live starts it, too.
 */

/**
 * Stops an environment: new requests are told so at once, those that are open may finish. Safe to repeat.
 * @returns what drains now
 */
export async function stopServing(tools: Tools, environmentId: number, by: string): Promise<number[]> {
  return tools.whileRoutesHold(async () => {
    const route = await findRouteOf(tools.db, environmentId)
    if (route === null) {
      throw new SlipwayError('conflict', 'Nothing was deployed to this environment yet, so there is nothing to stop.')
    }
    const instances = await listInstancesOfDeploy(tools.db, route.deployId)
    const exposures = await findExposures(tools.db, environmentId)
    const lead = async (isStopped: boolean): Promise<void> => {
      await leadTo(tools, { ...route, isStopped }, instances, exposures)
      // What is stopped is not woken either.
      const host = tools.addresses.otherReleasesHost(route.label)
      const { releases } = hostEntriesOf(route, exposures)
      if (isStopped) await tools.router.removeHost(host)
      else if (releases !== null) await tools.router.addHost(host, releases.others)
    }
    let isLed = false
    try {
      return await tools.db.transaction(async (tx) => {
        if (!(await mayStop(tx, route))) return []
        // The traffic first: what leads nowhere any more is recorded as such only then.
        isLed = true
        await lead(true)
        faultPoint('stop.led')
        return endServing(tx, environmentId, by)
      })
    } catch (error) {
      if (isLed) await lead(false)
      throw error
    }
  })
}

/** False when it is stopped already. */
async function mayStop(tx: Transaction, { environmentId, label }: Route): Promise<boolean> {
  const { state } = await lockLine(tx, environmentId)
  if (state === 'removing') throw new SlipwayError('conflict', 'The environment is being removed.')
  if (state === 'stopped') return false
  const [first] = await listLine(tx, environmentId)
  if (first === undefined) return true
  throw new SlipwayError(
    'conflict',
    `Deploy ${first.id} to ${label} has not ended: it would start the environment again.`,
    {
      hint: `Wait for it, or end it: slipway deploys cancel ${first.id}`,
    },
  )
}

async function endServing(tx: Transaction, environmentId: number, by: string): Promise<number[]> {
  const stopped = await recordStopped(tx, environmentId)
  if (stopped === null) return []
  const data = { environment: stopped.name }
  await appendEvent(tx, { kind: 'environment.stopped', appId: stopped.appId, environmentId, by, data })
  return drainServing(tx, environmentId)
}

/** What to ask for, so that an environment that is stopped serves again what it served. */
export async function planStart(tx: Transaction, environmentId: number, by: string): Promise<DeployRequest> {
  const { state } = await lockLine(tx, environmentId)
  const [first] = await listLine(tx, environmentId)
  if (state !== 'stopped') {
    throw new SlipwayError(
      'conflict',
      `This environment is not stopped${state === 'removing' ? ': it is being removed' : ''}.`,
    )
  }
  if (first !== undefined) {
    throw new SlipwayError(
      'conflict',
      `Deploy ${first.id} is under way, and starts the environment when it goes live.`,
      {
        hint: `Follow it with: slipway deploys log ${first.id} -f`,
      },
    )
  }
  const served = await findServed(tx, environmentId)
  if (served === null) throw new SlipwayError('internal', `Environment ${environmentId} is stopped without a release.`)
  return { environmentId, kind: 'start', requestedBy: by, pushId: null, ...served }
}
