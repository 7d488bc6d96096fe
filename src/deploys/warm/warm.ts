import type { SlipwayError } from '../../kernel/errors.ts'
import { faultPoint } from '../../kernel/fault-point.ts'
import { plainLine } from '../../kernel/terminal-text.ts'
import type { Instance, Runtime } from '../../runtime/index.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy } from '../instances.ts'
import { planInstances } from '../plan-instances.ts'
import type { ReleaseSpec } from '../release-spec.ts'
import { readScale } from '../scale-store.ts'
import type { StepContext, Tools } from '../steps/step.ts'
import { recordStartsAnew, updateOwn } from '../store.ts'
import * as store from './warm-store.ts'

/*
 * What served before a swap and is kept as it was for a while: warm. Going back to it starts nothing. It stays the other
 * deploy's instances, and serves the new release, which is made of the same image and the same variables.
 */

/** Beside the checks: taking it, and the swap. */
const takingMs = 10 * 60_000

/** Takes what is still warm of the release that a rollback goes back to; false when there is nothing of it, or not as many. */
export async function takeWarm({ deploy, own, log, tools }: StepContext, spec: ReleaseSpec): Promise<boolean> {
  const { from, kind, environmentId, live } = deploy
  if (kind !== 'rollback' || from?.variables !== 'release' || from.releaseId === null) return false
  const before = from.releaseId
  const warm = await store.findWarm(tools.db, environmentId, before)
  if (warm === null) return false
  if (!(await allRun(tools, warm))) {
    log.write('detail', `What was kept warm of v${from.number ?? 0} does not run any more: it is started anew`)
    return false
  }
  const isTaken = await tools.db.transaction(async (tx) => {
    const owner = await store.holdWarm(tx, environmentId, before)
    if (owner === null) return false
    const there = await listInstancesOfDeploy(tx, owner)
    const places = planInstances(spec.processes, { live, scale: await readScale(tx, environmentId) })
    if (!isSame(there, places)) return false
    await store.stayWarm(tx, owner, spec.build.config.health.deadlineMs + takingMs)
    await updateOwn(tx, own, 'instances_of = $3', [owner])
    return true
  })
  if (isTaken)
    log.write('detail', `What ran of v${from.number ?? 0} is still warm: it serves again, and nothing is started`)
  faultPoint('deploy.start.warm')
  return isTaken
}

/** Nobody looks after what is warm: it may have crashed since, or been removed by hand. */
async function allRun({ db, runtime }: Tools, deployId: number): Promise<boolean> {
  const web = (await listInstancesOfDeploy(db, deployId)).filter(isWeb)
  return (await inspectAll(runtime, web)).every((one) => one?.state === 'running')
}

/** Null for those that are not there. */
export async function inspectAll(
  runtime: Runtime,
  instances: readonly Pick<InstanceRecord, 'containerId'>[],
): Promise<(Instance | null)[]> {
  return Promise.all(
    instances.map(async ({ containerId }) => (containerId === null ? null : runtime.inspect(containerId))),
  )
}

/** What a deploy has taken does not pass its checks, so it is not as it was: nobody goes back to it, and the deploy starts its own. */
export async function giveUpWarm(
  { deploy: { from, instancesOf }, own, log, tools }: Pick<StepContext, 'deploy' | 'own' | 'log' | 'tools'>,
  { message, evidence }: SlipwayError,
): Promise<void> {
  await tools.db.transaction(async (tx) => {
    // Before the deploy, as a revocation locks them.
    await store.endWarmOf(tx, instancesOf)
    await updateOwn(tx, own, 'instances_of = null', [])
    await recordStartsAnew(tx, own)
  })
  for (const text of evidence) log.write('output', plainLine(log.mask(text)))
  log.write('detail', `What was warm of v${from?.number ?? 0} is started anew: ${message}`)
  faultPoint('deploy.warm.given-up')
}

/** As many of each process as there are to be. Workers have ended; their places have not. */
function isSame(there: readonly InstanceRecord[], places: readonly { process: string; position: number }[]): boolean {
  const name = ({ process, position }: { process: string; position: number }): string => `${process}.${position}`
  const isReady = (one: InstanceRecord): boolean => !isWeb(one) || (one.warmLeftMs > 0 && one.containerId !== null)
  return there.every(isReady) && there.map(name).toSorted().join(' ') === places.map(name).toSorted().join(' ')
}

const lookEveryMs = 1_000

/** Until nothing of it is warm any more: its time is over, something newer serves, or it serves again itself. */
export async function untilCold(
  { db, clock }: Tools,
  deployId: number,
  signal: AbortSignal,
): Promise<InstanceRecord[]> {
  for (;;) {
    const left = (await listInstancesOfDeploy(db, deployId)).filter(({ state }) => state === 'draining')
    const warmMs = Math.max(0, ...left.map(({ warmLeftMs }) => warmLeftMs))
    if (warmMs === 0) return left
    await clock.sleep(Math.min(warmMs, lookEveryMs), signal)
  }
}
