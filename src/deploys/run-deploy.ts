import { asSlipwayError, type SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import type { Deploy, DeployState, DeployStep } from './deploy.ts'
import { switchRoute } from './instances.ts'
import type { DeployLog, DeployLogs, NewLine } from './log.ts'
import { planNext } from './plan.ts'
import { removeInstances, restoreRoute } from './retire.ts'
import { type StepContext, steps, stopping, type Tools } from './steps/index.ts'
import * as store from './store.ts'

/** A step that says nothing for this long is heard of, so that a pusher knows it is alive. */
const silenceMs = 10_000

export interface RunContext {
  readonly tools: Tools
  readonly logs: DeployLogs
  readonly worker: string
  /** Fires when the deploy is cancelled (with a `cancelled` error) or when the server stops (with `stopping`). */
  readonly signal: AbortSignal
}

/**
 * Takes a claimed deploy through its steps until it has ended: look at what is recorded, decide, do, record, again. Called on a deploy that
 * an earlier life of the server had begun, it goes on where that was.
 * @returns the releases whose instances drain now
 */
export async function runDeploy(deployId: number, run: RunContext): Promise<number[]> {
  const own = { id: deployId, worker: run.worker }
  const log = await run.logs.open(deployId)
  try {
    for (;;) {
      const deploy = await store.getDeploy(run.tools.db, deployId)
      const next = planNext({
        done: await store.listStepsDone(run.tools.db, deployId),
        cancelRequested: deploy.cancelRequested,
      })
      const context = { deploy, own, log, signal: run.signal, tools: run.tools }
      if ('end' in next) {
        if (next.end === 'live') return await run.tools.whileRoutesHold(() => endLive(deploy, own, log, run))
        return await endWithout(deploy, own, log, run, asSlipwayError(run.signal.reason))
      }
      if (next.do === 'swap') {
        return await run.tools.whileRoutesHold(async () => {
          await runStep('swap', context)
          return endLive(deploy, own, log, run)
        })
      }
      await runStep(next.do, context)
    }
  } catch (thrown) {
    if (run.signal.reason === stopping) return []
    const deploy = await store.getDeploy(run.tools.db, deployId)
    const error = asSlipwayError(thrown)
    if (error.code === 'internal')
      run.tools.logger.error('a deploy failed inside Slipway', { deployId, step: deploy.step, error })
    return await endWithout(deploy, own, log, run, error)
  }
}

async function runStep(step: DeployStep, context: StepContext): Promise<void> {
  const { own, log, tools } = context
  await tools.db.transaction((tx) => store.recordStepBegun(tx, own, step))
  const startedMs = tools.clock.monotonicMs()
  const quiet = log.heartbeat(
    silenceMs,
    () => `still at it: ${waitingWords[step]} (${seconds(tools.clock.monotonicMs() - startedMs)})`,
  )
  try {
    await steps[step]({ ...context, deploy: { ...context.deploy, step } })
    await log.flush()
    const ms = await store.recordStepEnded(tools.db, own.id, step, 'done')
    if (ms >= 100) log.write('detail', `(${seconds(ms)})`)
  } catch (error) {
    if (context.signal.reason !== stopping) {
      await store.recordStepEnded(tools.db, own.id, step, context.signal.aborted ? 'cancelled' : 'failed')
    }
    throw error
  } finally {
    quiet()
  }
}

const waitingWords: Readonly<Record<DeployStep, string>> = {
  build: 'building',
  'release-commands': 'running the release commands',
  start: 'starting',
  check: 'checking',
  swap: 'swapping',
}

async function endLive(deploy: Deploy, own: store.Own, log: DeployLog, run: RunContext): Promise<number[]> {
  const { db, addresses } = run.tools
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
  run.logs.notify(deploy.id)
  return drained
}

/** Ends a deploy that did not go live. First everything it started is removed; what serves was never touched. */
async function endWithout(
  deploy: Deploy,
  own: store.Own,
  log: DeployLog,
  run: RunContext,
  error: SlipwayError,
): Promise<number[]> {
  const state = error.code === 'cancelled' ? 'cancelled' : 'failed'
  // What threw may have come after the traffic moved: it goes back before anything is removed, or else nothing is.
  if (deploy.step === 'swap') await run.tools.whileRoutesHold(() => restoreRoute(run.tools, deploy))
  if (deploy.releaseId !== null) {
    // What cannot be removed now (the engine is away) is found by reconciling later; the deploy ends all the same.
    await removeInstances(run.tools, deploy.releaseId).catch((cause: unknown) =>
      run.tools.logger.warn('what a failed deploy had started was not removed yet', {
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
    { kind: 'error', text: await whatServes(run.tools, deploy) },
    machineLine(deploy, state),
  ]
  await run.tools.db.transaction(async (tx) => {
    await log.close(tx, lines)
    await store.recordEnd(tx, own, { state, code: error.code, message })
    await appendEvent(tx, { kind: `deploy.${state}`, ...subject(deploy), data: { code: error.code, message } })
  })
  run.logs.notify(deploy.id)
  return []
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

const seconds = (ms: number): string =>
  ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
