import { isAway } from '../../kernel/errors.ts'
import { isDatabaseAway } from '../../postgres/index.ts'
import { delayAfterStartMs } from './back-off.ts'
import { listExposures } from '../exposures-store.ts'
import { recordRecovered } from './ends-store.ts'
import { listInstances, listRoutes } from '../instances.ts'
import { bringBack, takeOutEnded } from './take-out.ts'
import { putToSleep } from '../wake/lead-awake.ts'
import { observe } from './observe.ts'
import { type Act, type Difference, type LeftRun, nameOf, planReconcile } from './plan-reconcile.ts'
import { removeInstances } from '../retire.ts'
import { routesOf } from '../routes-of.ts'
import { inLanes, startAgain, startsAtOnce } from './start-again.ts'
import type { Tools } from '../steps/index.ts'

export interface Reconciled {
  readonly routes: number
  readonly started: number
  readonly removed: number
  /** Deploys whose instances were draining; their drain goes on. */
  readonly draining: readonly number[]
  readonly mended: readonly Mended[]
  /** When something is due that cannot be done now; null: nothing is. */
  readonly nextLookMs: number | null
}

/** A difference, and why it could not be mended; null where it was, or where nothing was to be done. */
export interface Mended extends Difference {
  readonly failed: string | null
}

/**
 * Makes what is there agree with the database, which wins: routes in the proxy, serving instances in the engine, and nothing
 * else with this installation's label. What does not answer is unknown: then this throws and nothing is touched.
 */
export async function reconcile(tools: Tools): Promise<Reconciled> {
  await recordRecovered(tools.db)
  const { wanted, there } = await observe(tools)
  const mended = await carryOut(tools, planReconcile(wanted, there))
  const count = (kind: Act['do']): number =>
    mended.filter(({ act, failed }) => act?.do === kind && failed === null).length
  const removed = count('end-instances') + count('remove-container') + (await tools.builds.sweep())
  const asleep = mended.flatMap(({ act }) => (act?.do === 'put-to-sleep' ? [act.instance.deployId] : []))
  const drained = wanted.instances.filter((i) => i.state === 'draining').map((i) => i.deployId)
  const draining = [...new Set([...drained, ...asleep])]
  const dueMs = mended.flatMap(({ act }) =>
    act?.do === 'start' ? [delayAfterStartMs(act.instance.startAttempts + 1)] : [],
  )
  const waitMs = wanted.instances.filter((i) => i.startDueMs > 0 && i.downSince !== null).map((i) => i.startDueMs)
  return {
    routes: wanted.routeCount,
    started: count('start'),
    removed,
    draining,
    mended,
    nextLookMs: dueMs.length + waitMs.length === 0 ? null : Math.min(...dueMs, ...waitMs),
  }
}

/** What `reconcile` would do. */
export async function findDifferences(tools: Tools): Promise<Difference[]> {
  const { wanted, there } = await observe(tools)
  return planReconcile(wanted, there)
}

/** Traffic first; what takes long last. */
const order: readonly Act['do'][] = [
  'take-out',
  'put-to-sleep',
  'bring-back',
  'let-end',
  'level-routes',
  'start',
  'end-instances',
  'remove-container',
]

async function carryOut(tools: Tools, plan: readonly Difference[]): Promise<Mended[]> {
  const failures = new Map<Difference, string>()
  for (const kind of order) {
    const due = plan.filter(({ act }) => act?.do === kind)
    // Whatever the number of differences: the routes are made right as a whole.
    const works = kind === 'level-routes' ? due.slice(0, 1) : due
    await inLanes(kind === 'start' ? startsAtOnce : 1, works, async (difference) => {
      const failed = await attempt(tools, difference)
      if (failed === null) return
      for (const other of kind === 'level-routes' ? due : [difference]) failures.set(other, failed)
    })
  }
  return plan.map((difference) => ({ ...difference, failed: failures.get(difference) ?? null }))
}

/** One that fails keeps no other from being mended; but without the database, the engine or the proxy nothing goes on. */
async function attempt(tools: Tools, { what, act }: Difference): Promise<string | null> {
  if (act === null) return null
  try {
    await execute(tools, act)
    return null
  } catch (error) {
    // A start is `unavailable`, too, when the image is gone.
    if (isDatabaseAway(error) || (act.do !== 'start' && isAway(error))) throw error
    tools.logger.error('a difference could not be mended', { what, error })
    return error instanceof Error ? error.message : String(error)
  }
}

async function execute(tools: Tools, act: Act): Promise<void> {
  switch (act.do) {
    case 'take-out': {
      const { exitCode = null, outOfMemory = false } = act.found ?? {}
      if (await takeOutEnded(tools, act.instance, { exitCode, outOfMemory }))
        tools.logger.warn('a serving instance is down', { instance: nameOf(act.instance), exitCode })
      return
    }
    case 'put-to-sleep':
      await putToSleep(tools, act.instance)
      return
    case 'bring-back':
      await bringBack(tools, act.instance)
      return
    case 'level-routes':
      return levelRoutes(tools)
    case 'let-end':
      return tools.runtime.letEnd(act.instance.containerId ?? '')
    case 'start':
      return startAgain(tools, act.instance)
    case 'end-instances':
      return removeInstances(tools, act.deployId)
    case 'remove-container':
      if (act.run !== undefined) await recordLeft(tools, act.containerId, act.run)
      return tools.runtime.remove(act.containerId)
  }
}

/** It may have come to its end by itself after whoever ran it was gone. */
async function recordLeft({ runtime, runs }: Tools, containerId: string, run: LeftRun): Promise<void> {
  const exitCode = (await runtime.inspect(containerId))?.exitCode ?? null
  await runs?.recordLeft(run, exitCode)
}

/** Read again while routes hold: a swap may have come in between. */
async function levelRoutes({ db, router, addresses: hosts, place, whileRoutesHold }: Tools): Promise<void> {
  await whileRoutesHold(async () => {
    // Of the time in which the rows are read: what another server did between two of ours is not undone.
    const mayGoOn = place.term()
    const routes = await listRoutes(db)
    if (routes.length === 0 && (await router.read()).keys.size > 0) return
    const instances = await listInstances(db)
    await router.replaceAll(routesOf({ routes, instances, exposures: await listExposures(db), hosts }), mayGoOn)
  })
}
