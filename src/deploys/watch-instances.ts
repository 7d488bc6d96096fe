import { environmentKey, type RouteTarget, releaseKey, releaseSet } from '../routing/index.ts'
import { type InstanceChange, labelNames, waitForPort } from '../runtime/index.ts'
import { type InstanceRecord, listInstancesOfRelease } from './instances.ts'
import type { Tools } from './steps/index.ts'

/** The engine restarts what ended by itself, and has said so by then; what somebody stopped or killed by hand it leaves down. */
const engineRestartsMs = 1_000
/** One that ends again and again is started again with the minute's comparison, not faster. */
const missingEveryMs = 60_000

/**
 * Follows the engine's events: an environment whose instance died answers 503 with Retry-After at once instead of hanging on
 * an address that nobody has, and gets its traffic back as soon as the restarted instance listens, however long that takes.
 * `onResync` is called when the comparison with the engine must be made again, as for an instance that was removed by hand.
 */
export function watchInstances(tools: Tools, onResync: () => void, signal: AbortSignal): void {
  // One container's changes are dealt with in their order; the next ends the wait that the one before may have begun.
  const latest = new Map<string, { readonly over: AbortController; readonly done: Promise<void> }>()
  const askedMs = new Map<number, number>()
  const onMissing: OnMissing = ({ releaseId, label, releaseNumber }, how) => {
    const nowMs = tools.clock.monotonicMs()
    for (const [id, ms] of askedMs) if (nowMs - ms >= missingEveryMs) askedMs.delete(id)
    if (askedMs.has(releaseId)) return
    askedMs.set(releaseId, nowMs)
    tools.logger.warn(`an instance was ${how} by somebody else; starting it again`, { label, release: releaseNumber })
    onResync()
  }
  tools.runtime.watch((change) => {
    if (change.kind === 'resync' || change.containerId === null) return onResync()
    const { containerId } = change
    const before = latest.get(containerId)
    before?.over.abort()
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    const deal = async (): Promise<void> => {
      await before?.done
      try {
        await onChange(tools, { ...change, containerId, onMissing }, either)
      } catch (error) {
        if (!either.aborted) tools.logger.warn('following an instance failed', { error, change: change.kind })
      }
      if (latest.get(containerId)?.over === over) latest.delete(containerId)
    }
    latest.set(containerId, { over, done: deal() })
  }, signal)
}

type Change = InstanceChange & { readonly containerId: string; readonly onMissing: OnMissing }
type OnMissing = (instance: InstanceRecord, how: 'removed' | 'stopped') => void

async function onChange(tools: Tools, change: Change, signal: AbortSignal): Promise<void> {
  if (change.labels[labelNames.kind] !== 'instance') return
  const releaseId = Number(change.labels[labelNames.release])
  const instance = await findOnlyServing(tools, releaseId)
  if (instance === null || instance.address === null) return
  if (change.kind === 'removed') {
    if (instance.containerId === change.containerId) change.onMissing(instance, 'removed')
    return
  }
  if (change.kind === 'died') {
    tools.logger.warn('an instance died', { label: instance.label, release: instance.releaseNumber })
    await pointTo(tools, releaseId, { state: 'failed' })
    await tools.clock.sleep(engineRestartsMs, signal)
    const found = await tools.runtime.inspect(change.containerId)
    if (found?.state === 'exited') change.onMissing(instance, 'stopped')
    return
  }
  await waitForPort({ address: instance.address, port: instance.port }, { withinMs: Number.POSITIVE_INFINITY, signal })
  await pointTo(tools, releaseId, { set: releaseSet(releaseId), size: 1 })
}

/** A release with several instances loses one of them without going down. */
async function findOnlyServing(tools: Tools, releaseId: number): Promise<InstanceRecord | null> {
  const [first, ...more] = (await listInstancesOfRelease(tools.db, releaseId)).filter((i) => i.state === 'serving')
  return first === undefined || more.length > 0 ? null : first
}

/** Only while it still serves: another release may have taken its place in between. */
async function pointTo(tools: Tools, releaseId: number, to: RouteTarget): Promise<void> {
  await tools.whileRoutesHold(async () => {
    const instance = await findOnlyServing(tools, releaseId)
    if (instance === null) return
    await tools.router.swap(environmentKey(instance.environmentId), to)
    if (!instance.live) await tools.router.swap(releaseKey(releaseId), to)
  })
}
