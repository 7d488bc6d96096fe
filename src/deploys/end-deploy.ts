import type { WatchConfig } from '../builds/index.ts'
import type { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import type { Transaction } from '../postgres/database.ts'
import { isDatabaseAway, type Term } from '../postgres/index.ts'
import { type Deploy, type DeployState, isOfSameRelease } from './deploy.ts'
import { haveAddresses } from './exposures.ts'
import { findExposures } from './exposures-store.ts'
import { switchRoute } from './instances.ts'
import type { Own } from './line-store.ts'
import type { DeployLog, DeployLogs, NewLine } from './log.ts'
import { removeInstances, restoreRoute } from './retire.ts'
import { seconds } from './seconds.ts'
import type { Tools } from './steps/index.ts'
import * as store from './store.ts'
import { serveAgain } from './warm/warm-store.ts'
import * as watchStore from './warm/watch-store.ts'

/** A deploy that ends, and what is needed to record it. */
export interface Ending {
  readonly deploy: Deploy
  readonly own: Own
  readonly assertHeld: () => Promise<void>
  readonly log: DeployLog
  readonly logs: DeployLogs
  readonly tools: Tools
}

/**
 * Records that the new release serves. Only together with the swap, and while routes hold.
 * @param term since before the swap: whoever had the server's place in between has led the traffic back to what the database said, and
 *   it must be moved again
 * @returns the deploys whose instances drain now
 */
export async function endLive({ deploy, own, log, logs, tools }: Ending, term: Term): Promise<number[]> {
  const { db, addresses } = tools
  const times = await store.listStepTimes(db, deploy.id)
  const total = times.reduce((sum, { ms }) => sum + ms, 0)
  const parts = times.filter(({ ms }) => ms >= 50).map(({ step, ms }) => `${step} ${seconds(ms)}`)
  const number = deploy.releaseNumber ?? 0
  const exposures = await findExposures(db, deploy.environmentId)
  const hasAddress = haveAddresses(deploy, exposures)
  const { keepWarmMs, watch } = await readWarmth(tools, deploy)
  const lines: NewLine[] = [
    {
      kind: 'result',
      text: `v${number} is live in ${deploy.environment} after ${seconds(total)}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`,
    },
    { kind: 'detail', text: addresses.url(addresses.environmentHost(deploy.label)) },
    ...(hasAddress
      ? [{ kind: 'detail' as const, text: addresses.url(addresses.releaseHost(deploy.label, number)) }]
      : []),
    ...(watch === null ? [] : [{ kind: 'detail' as const, text: describeWatch(watch) }]),
    machineLine(deploy, 'live'),
  ]
  const drained = await db.transaction(async (tx) => {
    const { id: deployId, environmentId, releaseId } = deploy
    const { instancesOf } = deploy
    // Before its instances, as a revocation locks them.
    await store.settleEnvironment(tx, deploy)
    if (instancesOf !== deployId) await serveAgain(tx, deploy)
    const isSameRelease = isOfSameRelease(deploy.kind)
    const to = { environmentId, releaseId: releaseId as number, deployId: instancesOf, keepWarmMs, isSameRelease }
    const draining = await switchRoute(tx, to)
    if (watch !== null) await watchStore.recordWatched(tx, own, watch.ms)
    const reverted = await recordReverted(tx, deploy, logs)
    await tools.onLive?.(tx, { environmentId, deployId })
    await log.writeWith(tx, lines)
    await store.recordEnd(tx, own, 'live')
    await appendEvent(tx, { kind: 'deploy.live', ...subject(deploy), data: { release: number } })
    await term()
    return { draining, reverted }
  })
  faultPoint('deploy.live')
  for (const id of [deploy.id, ...drained.reverted]) logs.notify(id)
  tools.logger.info('a deploy is live', { deployId: deploy.id, label: deploy.label, release: number })
  return drained.draining
}

/** What served before is kept as it is only after a deploy of something new: nobody goes back to what was gone back from. */
async function readWarmth(
  { builds, db }: Tools,
  { buildId, environmentId, kind }: Deploy,
): Promise<{ keepWarmMs: number; watch: WatchConfig | null }> {
  if (buildId === null || kind === 'rollback' || isOfSameRelease(kind)) return { keepWarmMs: 0, watch: null }
  const { keepWarmMs = 0, watch = null } = (await builds.get(buildId)).config
  // The first that serves has nothing to go back to.
  const isWatched = watch !== null && (await store.findServingRelease(db, environmentId)) !== null
  return { keepWarmMs: Math.max(keepWarmMs, watch?.ms ?? 0), watch: isWatched ? watch : null }
}

function describeWatch({ ms, errors }: WatchConfig): string {
  return `Watched for ${seconds(ms)}: should it crash, or more than ${Math.round(errors * 100)} % of its answers be errors, what served before serves again`
}

/** A deploy that this one goes back from by itself was live until now. */
async function recordReverted(
  tx: Transaction,
  { app, environment, reverts, releaseNumber }: Deploy,
  logs: DeployLogs,
): Promise<number[]> {
  const message = reverts === null ? null : await watchStore.recordReverted(tx, reverts)
  if (reverts === null || message === null) return []
  const before = await store.getDeploy(tx, reverts)
  await logs.append(tx, reverts, [
    { kind: 'error', text: `${message} What served before serves again, as v${releaseNumber ?? 0}.` },
    { kind: 'error', text: `Its log: slipway logs ${environment} -a ${app} --release v${before.releaseNumber ?? 0}` },
    machineLine(before, 'reverted'),
  ])
  await appendEvent(tx, { kind: 'deploy.reverted', ...subject(before), by: 'slipway', data: { message } })
  return [reverts]
}

/**
 * Ends a deploy that did not go live: why is recorded, then everything it started is removed, then it has ended. What serves
 * was never touched. Called again after a crash (`failure` null then) it goes on where it was.
 * @returns the deploy when its instances could not be removed now: it ends all the same
 */
export async function endWithout(ending: Ending, failure: SlipwayError | null): Promise<number[]> {
  const { assertHeld, deploy, tools } = ending
  if (failure !== null && deploy.error === null) await recordFailure(ending, failure)
  await assertHeld()
  // What failed may have come after the traffic moved: it goes back before anything is removed, or else nothing is.
  if (deploy.step === 'swap') await tools.whileRoutesHold(() => restoreRoute(tools, deploy))
  const isRemoved = deploy.releaseId === null || (await removeStarted(tools, deploy.id))
  faultPoint('deploy.failed.undone')
  await recordEndWithout(ending)
  return isRemoved ? [] : [deploy.id]
}

async function recordFailure({ deploy, own, log, logs, tools }: Ending, failure: SlipwayError): Promise<void> {
  // A cancel says which.
  const ran = deploy.commandsRan && failure.code !== 'cancelled' ? ' Release commands ran, not swapped.' : ''
  // The app's own words may be in it: a probe's answer, the line of a Dockerfile.
  const message = log.mask(failure.message) + ran
  const lines: NewLine[] = [
    ...failure.evidence.map((text) => ({ kind: 'output' as const, text: plainLine(log.mask(text)) })),
    { kind: 'error', text: message },
    ...(failure.hint === undefined ? [] : [{ kind: 'error' as const, text: failure.hint }]),
  ]
  await tools.db.transaction(async (tx) => {
    await store.recordFailure(tx, own, { code: failure.code, message })
    await log.writeWith(tx, lines)
  })
  logs.notify(deploy.id)
  faultPoint('deploy.failed')
}

/** False when what it would remove from is away. */
async function removeStarted(tools: Tools, deployId: number): Promise<boolean> {
  try {
    await removeInstances(tools, deployId)
    return true
  } catch (error) {
    if (isDatabaseAway(error)) throw error
    tools.logger.warn('what a failed deploy had started was not removed yet', { deployId, error })
    return false
  }
}

async function recordEndWithout({ deploy: { id }, own, log, logs, tools }: Ending): Promise<void> {
  const deploy = await store.getDeploy(tools.db, id)
  const { code, message } = deploy.error ?? { code: 'internal', message: '' }
  const state = code === 'cancelled' || code === 'superseded' ? code : 'failed'
  const serves = await whatServes(tools, deploy)
  await tools.db.transaction(async (tx) => {
    await log.writeWith(tx, [{ kind: 'error', text: serves }, machineLine(deploy, state)])
    await store.recordEnd(tx, own, state)
    const by = state === 'cancelled' ? (deploy.cancelRequestedBy ?? deploy.requestedBy) : deploy.requestedBy
    await appendEvent(tx, { kind: `deploy.${state}`, ...subject(deploy), by, data: { code, message } })
  })
  logs.notify(id)
  tools.logger.info(`a deploy has ${state === 'failed' ? 'failed' : `been ${state}`}`, {
    deployId: id,
    label: deploy.label,
    code,
  })
}

async function whatServes(tools: Tools, deploy: Deploy): Promise<string> {
  const serving = await store.findServingRelease(tools.db, deploy.environmentId)
  if (serving === null) return `${deploy.environment} serves nothing yet.`
  if (await store.isStopped(tools.db, deploy.environmentId)) return `${deploy.environment} is still stopped.`
  return `${deploy.environment} still serves v${serving.number}, untouched.`
}

/** The one line that scripts may rely on; foreign text is always indented, so nothing else can begin like it. */
export function machineLine(
  deploy: Pick<Deploy, 'id' | 'environment' | 'releaseNumber'>,
  status: DeployState,
): NewLine {
  const release = deploy.releaseNumber === null ? '-' : `v${deploy.releaseNumber}`
  return {
    kind: 'machine',
    text: `slipway: deploy=${deploy.id} environment=${deploy.environment} release=${release} status=${status}`,
  }
}

const subject = (deploy: Deploy): { appId: number; environmentId: number; deployId: number; by: string } => ({
  appId: deploy.appId,
  environmentId: deploy.environmentId,
  deployId: deploy.id,
  by: deploy.requestedBy,
})
