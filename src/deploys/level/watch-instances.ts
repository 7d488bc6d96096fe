import { type Instance, type InstanceChange, labelNames, waitForPort } from '../../runtime/index.ts'
import { recordEnd } from './ends-store.ts'
import { type InstanceRecord, isWeb, listInstances, listInstancesOfDeploy } from '../instances.ts'
import { bringBack, takeOut, takeOutEnded } from './take-out.ts'
import { nameOf } from './plan-reconcile.ts'
import { putToSleep } from '../wake/lead-awake.ts'
import type { Tools } from '../steps/index.ts'

/** The engine restarts what ended by itself, and has said so by then; what somebody stopped or killed by hand it leaves down. */
const engineRestartsMs = 1_000

/**
 * Follows the engine's events: an instance that died is taken out of its set at once, and an environment that has no other answers
 * 503 with Retry-After instead of hanging on an address that nobody has. It takes requests again as soon as it listens, however
 * long that takes. `onResync` is called when the comparison with the engine must be made again, as for an instance that was
 * removed by hand.
 */
export function watchInstances(tools: Tools, onResync: () => void, signal: AbortSignal): void {
  // One container's changes are dealt with in their order; the next ends the wait that the one before may have begun.
  const latest = new Map<string, { readonly over: AbortController; readonly done: Promise<void> }>()
  const deal = (change: Change): void => {
    const { containerId } = change
    const before = latest.get(containerId)
    before?.over.abort()
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    const work = async (): Promise<void> => {
      await before?.done
      try {
        await onChange(tools, { change, onResync, signal: either })
      } catch (error) {
        if (!either.aborted) tools.logger.warn('following an instance failed', { error, change: change.kind })
      }
      if (latest.get(containerId)?.over === over) latest.delete(containerId)
    }
    latest.set(containerId, { over, done: work() })
  }
  /** Nobody waits for those that were down before: a restart of Slipway, or of the engine, ended the wait. */
  const waitForDown = async (): Promise<void> => {
    for (const { containerId, state, downSince, deployId } of await listInstances(tools.db)) {
      if (state !== 'serving' || downSince === null || containerId === null || latest.has(containerId)) continue
      const labels = { [labelNames.kind]: 'instance', [labelNames.deploy]: String(deployId) }
      deal({ kind: 'started', containerId, labels })
    }
  }
  tools.runtime.watch((change) => {
    if (change.kind !== 'resync' && change.containerId !== null) {
      return deal({ ...change, containerId: change.containerId })
    }
    onResync()
    waitForDown().catch((error: unknown) => {
      if (!signal.aborted) tools.logger.warn('what is down could not be listed', { error })
    })
  }, signal)
}

type Change = InstanceChange & { readonly containerId: string }

interface Dealing {
  readonly change: Change
  readonly onResync: () => void
  readonly signal: AbortSignal
}

async function onChange(tools: Tools, { change, onResync, signal }: Dealing): Promise<void> {
  if (change.labels[labelNames.kind] !== 'instance') return
  const all = await listInstancesOfDeploy(tools.db, Number(change.labels[labelNames.deploy]))
  const awake = all.find(({ state, containerId }) => state === 'awake' && containerId === change.containerId)
  if (awake !== undefined && change.kind !== 'started') {
    // Not left to the comparison: for a moment longer the engine lists it as running.
    if (await putToSleep(tools, awake))
      tools.logger.warn('a release that was awake has ended', { instance: nameOf(awake) })
    return onResync()
  }
  const serving = all.filter((instance) => instance.state === 'serving')
  if (serving.length === 0) return
  switch (change.kind) {
    case 'removed': {
      const instance = serving.find((i) => i.containerId === change.containerId)
      if (instance === undefined) return
      await takeOutEnded(tools, instance, { exitCode: null, outOfMemory: false })
      tools.logger.warn('the container of a serving instance was removed', { instance: nameOf(instance) })
      return onResync()
    }
    case 'died':
      return onDied(tools, { change, onResync, signal }, serving)
    case 'started': {
      const found = await tools.runtime.inspect(change.containerId)
      const instance = find(serving, found)
      if (instance?.address == null || found?.state !== 'running') return
      const { address, port } = instance
      // A worker has no port: it is up when it runs.
      if (isWeb(instance)) await waitForPort({ address, port }, { withinMs: Number.POSITIVE_INFINITY, signal })
      if (await bringBack(tools, instance)) tools.logger.info('an instance is back', { instance: nameOf(instance) })
      return
    }
    case 'resync':
      return onResync()
  }
}

async function onDied(tools: Tools, dealing: Dealing, serving: readonly InstanceRecord[]): Promise<void> {
  const { change, onResync, signal } = dealing
  const instance =
    serving.find((i) => i.containerId === change.containerId) ??
    find(serving, await tools.runtime.inspect(change.containerId))
  if (instance === undefined) return
  // Why it died may take the engine a second to know; the traffic does not wait for that.
  await takeOut(tools, instance)
  const found = await tools.runtime.inspect(change.containerId).catch(() => null)
  const exitCode = change.exitCode ?? found?.exitCode ?? null
  const outOfMemory = exitCode !== 0 && found?.outOfMemory === true
  await recordEnd(tools.db, instance.id, { exitCode, outOfMemory })
  tools.logger.warn('an instance died', { instance: nameOf(instance), exitCode, outOfMemory })
  await tools.clock.sleep(engineRestartsMs, signal)
  if ((await tools.runtime.inspect(change.containerId))?.state === 'exited') onResync()
}

/** By its address: the row of one that was just started does not know its container yet. */
function find(serving: readonly InstanceRecord[], found: Instance | null): InstanceRecord | undefined {
  return serving.find((i) => found?.address != null && i.address === found.address)
}
