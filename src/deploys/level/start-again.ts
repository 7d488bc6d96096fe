import { SlipwayError } from '../../kernel/errors.ts'
import { plainLine } from '../../kernel/terminal-text.ts'
import { type Instance, tryConnect } from '../../runtime/index.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy, recordContainer } from '../instances.ts'
import { readReleaseSpec } from '../release-spec.ts'
import type { Tools } from '../steps/index.ts'
import { getDeploy } from '../store.ts'
import { recordStartAttempt, recordStartError } from './ends-store.ts'
import { bringBack } from './take-out.ts'

const startLimitMs = 60_000
/** A machine that was restarted may have hundreds of instances to start; an engine starts some three at once as fast as it can. */
export const startsAtOnce = 3

/** Starts a serving instance that is down. Looked at once more: what said that it is down may be older than the instance. */
export async function startAgain(tools: Tools, { id, deployId }: InstanceRecord): Promise<void> {
  const instance = (await listInstancesOfDeploy(tools.db, deployId)).find((i) => i.id === id && i.state === 'serving')
  if (instance === undefined || instance.startDueMs > 0) return
  const found = instance.containerId === null ? null : await tools.runtime.inspect(instance.containerId)
  if (isUp(found)) return
  await recordStartAttempt(tools.db, id, instance.startAttempts + 1)
  // One that has run is not started over: its log and exit code were read.
  if (found !== null) await tools.runtime.remove(found.containerId)
  const { containerId, address } = await start(tools, instance)
  await recordContainer(tools.db, id, containerId)
  await tools.runtime.keepRunning(containerId)
  // A worker that runs is up. One that listens at once need not wait until the engine's event is dealt with.
  if (!isWeb(instance)) return void (await bringBack(tools, instance))
  if (address === null) return
  const signal = AbortSignal.timeout(startLimitMs)
  if ((await tryConnect({ address, port: instance.port }, { timeoutMs: 250, signal })) === 'open')
    await bringBack(tools, instance)
}

/** Who asks for the status is told why it cannot be started. */
async function start(tools: Tools, instance: InstanceRecord): Promise<Instance> {
  const spec = await readReleaseSpec(await getDeploy(tools.db, instance.deployId), tools)
  try {
    return await tools.runtime.start(spec.instance(instance), AbortSignal.timeout(startLimitMs))
  } catch (error) {
    if (error instanceof SlipwayError)
      await recordStartError(tools.db, instance.id, await inWords(tools, instance, error))
    throw error
  }
}

/** The engine's own words may be in it, which repeat what the app was given. */
async function inWords(
  { masks }: Tools,
  { releaseId }: InstanceRecord,
  { message, hint }: SlipwayError,
): Promise<string> {
  const text = hint === undefined ? message : `${message} ${hint}`
  return plainLine((await masks?.ofRelease(releaseId))?.mask(text) ?? text)
}

/**
 * Starts the workers of a deploy that has just gone live. One that cannot be started now is started as any other instance
 * that is down: the comparison with the engine finds it.
 */
export async function startWorkers(tools: Tools, deployId: number): Promise<void> {
  const failed = (error: unknown): void =>
    tools.logger.error('a worker could not be started; it is tried again', { deployId, error })
  const listed = getDeploy(tools.db, deployId).then(({ instancesOf }) => listInstancesOfDeploy(tools.db, instancesOf))
  const instances = await listed.catch((error: unknown) => (failed(error), []))
  const waiting = instances.filter(
    (instance) => instance.state === 'serving' && !isWeb(instance) && instance.downSince !== null,
  )
  await inLanes(startsAtOnce, waiting, (instance) => startAgain(tools, instance).catch(failed))
}

const isUp = (found: Instance | null): boolean => found?.state === 'running' || found?.state === 'restarting'

export async function inLanes<T>(lanes: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}
