import { environmentKey, type RouteTarget, releaseKey, releaseSet } from '../routing/index.ts'
import { type InstanceChange, labelNames, waitForPort } from '../runtime/index.ts'
import { type InstanceRecord, listInstancesOfRelease } from './instances.ts'
import type { Tools } from './steps/index.ts'

/** How long an instance that came back may take until it listens. */
const backWithinMs = 60_000

/**
 * Follows the engine's events: an environment whose instance died answers 503 with Retry-After at once instead of hanging on an address that
 * nobody has, and gets its traffic back as soon as the restarted instance listens.
 */
export function watchInstances(tools: Tools, onResync: () => void, signal: AbortSignal): void {
  tools.runtime.watch((change) => {
    if (change.kind === 'resync') return onResync()
    void onChange(tools, change, signal).catch((error: unknown) => {
      if (!signal.aborted) tools.logger.warn('following an instance failed', { error, change: change.kind })
    })
  }, signal)
}

async function onChange(tools: Tools, change: InstanceChange, signal: AbortSignal): Promise<void> {
  if (change.labels[labelNames.kind] !== 'instance' || change.kind === 'removed') return
  const releaseId = Number(change.labels[labelNames.release])
  const serving = (await listInstancesOfRelease(tools.db, releaseId)).filter((i) => i.state === 'serving')
  const [instance] = serving
  if (instance === undefined || instance.address === null || serving.length > 1) return
  if (change.kind === 'died') {
    tools.logger.warn('an instance died', { label: instance.label, release: instance.releaseNumber })
    await pointTo(tools, instance, { state: 'failed' })
    return
  }
  await waitForPort({ address: instance.address, port: instance.port }, { withinMs: backWithinMs, signal })
  const still = (await listInstancesOfRelease(tools.db, releaseId)).some(
    (i) => i.id === instance.id && i.state === 'serving',
  )
  if (still) await pointTo(tools, instance, { set: releaseSet(releaseId), size: 1 })
}

async function pointTo(tools: Tools, instance: InstanceRecord, to: RouteTarget): Promise<void> {
  await tools.router.swap(environmentKey(instance.environmentId), to)
  if (!instance.live) await tools.router.swap(releaseKey(instance.releaseId), to)
}
