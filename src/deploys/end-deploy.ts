import type { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import type { Deploy, DeployState } from './deploy.ts'
import { switchRoute } from './instances.ts'
import type { DeployLog, DeployLogs, NewLine } from './log.ts'
import { removeInstances, restoreRoute } from './retire.ts'
import { seconds } from './seconds.ts'
import type { Tools } from './steps/index.ts'
import * as store from './store.ts'

/** A deploy that ends, and what is needed to record it. */
export interface Ending {
  readonly deploy: Deploy
  readonly own: store.Own
  readonly log: DeployLog
  readonly logs: DeployLogs
  readonly tools: Tools
}

/**
 * Records that the new release serves. Only together with the swap, and while routes hold.
 * @returns the releases whose instances drain now
 */
export async function endLive({ deploy, own, log, logs, tools }: Ending): Promise<number[]> {
  const { db, addresses } = tools
  const times = await store.listStepTimes(db, deploy.id)
  const total = times.reduce((sum, { ms }) => sum + ms, 0)
  const parts = times.filter(({ ms }) => ms >= 50).map(({ step, ms }) => `${step} ${seconds(ms)}`)
  const number = deploy.releaseNumber ?? 0
  const lines: NewLine[] = [
    {
      kind: 'result',
      text: `v${number} is live in ${deploy.environment} after ${seconds(total)} (${parts.join(', ')})`,
    },
    { kind: 'detail', text: addresses.url(addresses.environmentHost(deploy.label)) },
    ...(deploy.live
      ? []
      : [{ kind: 'detail' as const, text: addresses.url(addresses.releaseHost(deploy.label, number)) }]),
    machineLine(deploy, 'live'),
  ]
  const drained = await db.transaction(async (tx) => {
    const releases = await switchRoute(tx, deploy.environmentId, deploy.releaseId as number)
    await log.close(tx, lines)
    await store.recordEnd(tx, own, { state: 'live' })
    await appendEvent(tx, { kind: 'deploy.live', ...subject(deploy), data: { release: number } })
    return releases
  })
  logs.notify(deploy.id)
  return drained
}

/** Ends a deploy that did not go live. First everything it started is removed; what serves was never touched. */
export async function endWithout({ deploy, own, log, logs, tools }: Ending, error: SlipwayError): Promise<void> {
  const state = error.code === 'cancelled' ? 'cancelled' : 'failed'
  // What threw may have come after the traffic moved: it goes back before anything is removed, or else nothing is.
  if (deploy.step === 'swap') await tools.whileRoutesHold(() => restoreRoute(tools, deploy))
  if (deploy.releaseId !== null) {
    // What cannot be removed now (the engine is away) is found by reconciling later; the deploy ends all the same.
    await removeInstances(tools, deploy.releaseId).catch((cause: unknown) =>
      tools.logger.warn('what a failed deploy had started was not removed yet', {
        deployId: deploy.id,
        error: cause,
      }),
    )
  }
  const message = deploy.commandsRan ? `${error.message} Release commands ran, not swapped.` : error.message
  const lines: NewLine[] = [
    ...error.evidence.map((text) => ({ kind: 'output' as const, text: plainLine(text) })),
    { kind: 'error', text: message },
    ...(error.hint === undefined ? [] : [{ kind: 'error' as const, text: error.hint }]),
    { kind: 'error', text: await whatServes(tools, deploy) },
    machineLine(deploy, state),
  ]
  await tools.db.transaction(async (tx) => {
    await log.close(tx, lines)
    await store.recordEnd(tx, own, { state, code: error.code, message })
    await appendEvent(tx, { kind: `deploy.${state}`, ...subject(deploy), data: { code: error.code, message } })
  })
  logs.notify(deploy.id)
}

async function whatServes(tools: Tools, deploy: Deploy): Promise<string> {
  const serving = await store.findServingRelease(tools.db, deploy.environmentId)
  if (serving === null) return `${deploy.environment} has no release yet.`
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

const subject = (deploy: Deploy): { appId: number; environmentId: number; deployId: number } => ({
  appId: deploy.appId,
  environmentId: deploy.environmentId,
  deployId: deploy.id,
})
