import { LostBuildError } from '../builds/index.ts'
import { asSlipwayError, isAway, SlipwayError } from '../kernel/errors.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { isDatabaseAway } from '../postgres/index.ts'
import type { Agreements } from './agree.ts'
import { listSiblings } from './agreement-store.ts'
import { type Deploy, type DeployStep, hasEnded, stepsOf } from './deploy.ts'
import { type Ending, endLive, endWithout } from './end-deploy.ts'
import type { DeployLog, DeployLogs } from './log.ts'
import { planNext } from './plan.ts'
import { seconds } from './seconds.ts'
import type { Lease } from './lease.ts'
import { LostDeployError } from './line-store.ts'
import { lost, type StepContext, steps, stopping, type Tools } from './steps/index.ts'
import * as store from './store.ts'
import { giveUpWarm } from './warm/warm.ts'
import { whyItEnds } from './why-it-ends.ts'

/** A step that says nothing for this long is heard of, so that a pusher knows it is alive. */
const silenceMs = 10_000

/** How long a deploy waits for what is away (the database, and while it ends the proxy) until it tries again. */
const retryMs = 250

export interface RunContext {
  readonly tools: Tools
  readonly logs: DeployLogs
  readonly lease: Lease
  readonly agreements: Agreements
  /** An earlier life of the server had begun it. */
  readonly takenUp: boolean
  /** Fires with one of the reasons of `steps/step.ts`. */
  readonly signal: AbortSignal
}

/**
 * Takes a claimed deploy through its steps until it has ended: look at what is recorded, decide, do, record, again. Called
 * on a deploy that an earlier life of the server had begun, it goes on where that was. A database that is away fails no
 * deploy: what it was doing is taken up again when it is back, and the log keeps what it could not store.
 * @returns the deploys whose instances must go now: those that drain, or itself when it failed while the engine is away
 */
export async function runDeploy(deployId: number, run: RunContext): Promise<number[]> {
  let log: DeployLog | null = null
  for (let told = !run.takenUp; ; ) {
    try {
      log ??= await run.logs.open({ id: deployId, worker: run.lease.worker })
      if (!told) log.write('detail', 'Slipway was started again; this deploy goes on where it was.')
      told = true
      return await runToEnd(deployId, log, run)
    } catch (error) {
      if (isLeft(run.signal, error)) return []
      if (!isAway(error)) throw error
      run.tools.logger.warn('a deploy waits for what does not answer', { deployId, error })
      await run.tools.clock.sleep(retryMs)
    }
  }
}

async function runToEnd(deployId: number, log: DeployLog, run: RunContext): Promise<number[]> {
  const { logs, tools, signal } = run
  const own = { id: deployId, worker: run.lease.worker }
  const assertHeld = (): Promise<void> => run.lease.assertHeld(deployId)
  try {
    for (;;) {
      const [deploy, done] = await Promise.all([
        store.getDeploy(tools.db, deployId),
        store.listStepsDone(tools.db, deployId),
      ])
      // The commit that ended it was done although its answer was lost.
      if (hasEnded(deploy.state)) return await store.listDrainingDeploys(tools.db, deploy.environmentId)
      run.agreements.note(deploy)
      const next = planNext({
        steps: stepsOf(deploy.kind),
        done,
        failed: deploy.error !== null,
        cancelRequested: deploy.cancelRequested,
        superseded: deploy.supersededBy !== null,
        awaitsOthers: deploy.strict?.agreed === false,
      })
      const ending = { deploy, own, assertHeld, log, logs, tools }
      if ('end' in next)
        return await endWithout(ending, next.end === 'failed' ? null : await whyItEnds(tools.db, deploy))
      if (next.do === 'wait') {
        await awaitOthers(deploy, log, run)
      } else if (next.do === 'swap') {
        const drained = await tools.whileRoutesHold(async () => {
          const term = tools.place.term()
          if (!(await runStep('swap', { ...ending, signal }))) return null
          return endLive(ending, term)
        })
        if (drained !== null) return drained
      } else {
        await runStep(next.do, { ...ending, signal }).catch((error: unknown) => orStartAnew(ending, error))
      }
    }
  } catch (thrown) {
    if (isLeft(run.signal, thrown)) {
      // What is not stored by whoever lost the deploy is in nobody's way.
      if (run.signal.reason === stopping) await log.flush()
      return []
    }
    if (isDatabaseAway(thrown)) throw thrown
    const deploy = await store.getDeploy(tools.db, deployId)
    const error = deploy.cancelRequested ? await whyItEnds(tools.db, deploy) : asSlipwayError(thrown)
    if (error.code === 'internal') {
      tools.logger.error('a deploy failed inside Slipway', { deployId, step: deploy.step, error })
    }
    return await endWithout({ deploy, own, assertHeld, log, logs, tools }, error)
  }
}

/**
 * What was warm and does not pass its checks any more is no reason to stay with what is gone back from; anything else is thrown on. One
 * that ends while the traffic is moved to it fails the deploy.
 */
async function orStartAnew(ending: Ending, error: unknown): Promise<void> {
  const { id, instancesOf } = ending.deploy
  if (!(error instanceof SlipwayError) || error.code !== 'check_failed' || instancesOf === id) throw error
  await giveUpWarm(ending, error)
}

/**
 * The server stops, or another worker has the deploy, or its build: who has it goes on with it. Should that be us after all,
 * the heartbeat finds it.
 */
function isLeft(signal: AbortSignal, error: unknown): boolean {
  if (signal.reason === stopping || signal.reason === lost) return true
  return error instanceof LostDeployError || error instanceof LostBuildError
}

/** It holds its environment's line meanwhile, but no build slot; its lease is renewed as ever. */
async function awaitOthers(deploy: Deploy, log: DeployLog, { agreements, signal, tools }: RunContext): Promise<void> {
  const startedMs = tools.clock.monotonicMs()
  log.write('detail', await tellOthers(tools, deploy))
  const quiet = log.heartbeat(
    silenceMs,
    () => `still waiting for the others of this strict push (${seconds(tools.clock.monotonicMs() - startedMs)})`,
  )
  try {
    faultPoint('deploy.passed')
    await agreements.untilAgreed(deploy, signal)
    faultPoint('deploy.agreed')
  } finally {
    quiet()
  }
}

async function tellOthers({ db }: Tools, { id, strict }: Deploy): Promise<string> {
  const all = strict === null ? [] : await listSiblings(db, strict.pushId)
  const others = all.filter((other) => other.id !== id && other.passedForMs === null)
  const named = others.map((other) => `${other.environment} (deploy ${other.id})`).join(', ')
  return named === '' ? 'All deploys of this strict push have passed' : `Passed; before it swaps, so must ${named}`
}

/** False when somebody wants the deploy to end before the step begins. */
async function runStep(step: DeployStep, context: StepContext): Promise<boolean> {
  const { own, log, signal, tools } = context
  if (!(await store.recordStepBegun(tools.db, own, step))) return false
  faultPoint(`deploy.${step}.begun`)
  const startedMs = tools.clock.monotonicMs()
  const quiet = log.heartbeat(
    silenceMs,
    () => `still at it: ${waitingWords[step]} (${seconds(tools.clock.monotonicMs() - startedMs)})`,
  )
  try {
    await steps[step]({ ...context, deploy: { ...context.deploy, step } })
    faultPoint(`deploy.${step}.done`)
    await log.flush()
    const ms = await store.recordStepEnded(tools.db, own, step, 'done')
    faultPoint(`deploy.${step}.recorded`)
    if (ms >= 100) log.write('detail', `(${seconds(ms)})`)
    return true
  } catch (error) {
    // All of these are taken up again.
    if (!isLeft(signal, error) && !isDatabaseAway(error)) {
      await store.recordStepEnded(tools.db, own, step, signal.aborted ? 'cancelled' : 'failed')
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
