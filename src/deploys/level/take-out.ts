import { findExposures } from '../exposures-store.ts'
import { findRouteTo, listInstancesOfDeploy } from '../instances.ts'
import { leadTo } from '../lead-routes.ts'
import type { Tools } from '../steps/index.ts'
import { type End, recordEnd, recordOutage, recordUp } from './ends-store.ts'

/**
 * Takes a serving instance out of its set: the others of its release go on, and where it was the only one requests are answered
 * at once instead of waiting for an address that nobody has. False when it was out already, or does not serve.
 */
export async function takeOut(tools: Tools, instance: { id: number; deployId: number }): Promise<boolean> {
  return tools.whileRoutesHold(async () => {
    const isNew = await recordOutage(tools.db, instance.id)
    if (isNew) await leadAgain(tools, instance.deployId)
    return isNew
  })
}

/** The same for one whose end nobody saw: how it ended is recorded once. */
export async function takeOutEnded(
  tools: Tools,
  instance: { id: number; deployId: number },
  end: End,
): Promise<boolean> {
  const isNew = await takeOut(tools, instance)
  if (isNew) await recordEnd(tools.db, instance.id, end)
  return isNew
}

/** Leads requests to an instance again that listens again. */
export async function bringBack(tools: Tools, instance: { id: number; deployId: number }): Promise<boolean> {
  return tools.whileRoutesHold(async () => {
    const isNew = await recordUp(tools.db, instance.id)
    if (isNew) await leadAgain(tools, instance.deployId)
    return isNew
  })
}

/** Only while they still serve: others may have taken their place in between. */
async function leadAgain(tools: Tools, deployId: number): Promise<void> {
  const route = await findRouteTo(tools.db, deployId)
  if (route === null) return
  const exposures = await findExposures(tools.db, route.environmentId)
  await leadTo(tools, route, await listInstancesOfDeploy(tools.db, deployId), exposures)
}
