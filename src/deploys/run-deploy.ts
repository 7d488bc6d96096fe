import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import type { DeployStep } from './deploy.ts'
import { endLive, endWithout } from './end-deploy.ts'
import type { DeployLogs } from './log.ts'
import { planNext } from './plan.ts'
import { seconds } from './seconds.ts'
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
      const ending = { deploy, own, log, logs: run.logs, tools: run.tools }
      const context = { ...ending, signal: run.signal }
      if ('end' in next) {
        if (next.end === 'live') return await run.tools.whileRoutesHold(() => endLive(ending))
        throw cancelled(run.signal)
      }
      if (next.do === 'swap') {
        return await run.tools.whileRoutesHold(async () => {
          await runStep('swap', context)
          return endLive(ending)
        })
      }
      await runStep(next.do, context)
    }
  } catch (thrown) {
    if (run.signal.reason === stopping) return []
    const deploy = await store.getDeploy(run.tools.db, deployId)
    const error = asSlipwayError(thrown)
    if (error.code === 'internal') {
      run.tools.logger.error('a deploy failed inside Slipway', { deployId, step: deploy.step, error })
    }
    await endWithout({ deploy, own, log, logs: run.logs, tools: run.tools }, error)
    return []
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

/** Whoever asked may have asked an earlier life of the server. */
function cancelled(signal: AbortSignal): SlipwayError {
  return signal.aborted ? asSlipwayError(signal.reason) : new SlipwayError('cancelled', 'It was cancelled.')
}
