import { asSlipwayError, SlipwayError } from '../../kernel/errors.ts'
import type { Runtime } from '../runtime.ts'
import { type CheckContext, type CheckRequest, endsOf, failedCheck } from './check.ts'
import { runHealthcheck, runSelfTests } from './exec-checks.ts'
import { explainEnd, hintWithoutLog } from './judge.ts'
import { probeUntilHealthy, waitUntilOpen } from './probe-loop.ts'
import { watchProcess } from './watch-process.ts'

export interface CheckReport {
  /** What passed, and how long each took from the start of the checks. */
  readonly passed: readonly { readonly check: CheckName; readonly afterMs: number }[]
  readonly durationMs: number
}

export type CheckName = 'process' | 'port' | 'http' | 'healthcheck' | 'self-tests'

const logLines = 100

/**
 * Runs all checks on a new instance until they pass or the deadline is over: the process stays up, the port opens, then at the
 * same time the HTTP answer, the image's HEALTHCHECK and the app's own tests. Throws `check_failed` with what was seen, as soon
 * as it is certain.
 */
export async function runChecks(request: CheckRequest): Promise<CheckReport> {
  const { clock, instance, runtime, config } = request
  if (instance.address === null) throw new SlipwayError('internal', 'An instance without an address cannot be checked.')
  const over = new AbortController()
  const signal = AbortSignal.any([request.signal, over.signal])
  const startedMs = clock.monotonicMs()
  const deadlineMs = startedMs + config.health.deadlineMs
  const context: CheckContext = { ...request, address: instance.address, deadlineMs, signal }
  const passed: { check: CheckName; afterMs: number }[] = []
  const pass = (check: CheckName) => (): void => {
    passed.push({ check, afterMs: Math.round(clock.monotonicMs() - startedMs) })
  }
  const up = watchProcess(context)
  const checks = checkAll(context, pass)
  try {
    await Promise.race([checks, up])
    await confirm(context)
    pass('process')()
    return { passed, durationMs: Math.round(clock.monotonicMs() - startedMs) }
  } catch (error) {
    if (request.signal.aborted) throw asSlipwayError(request.signal.reason)
    throw await withLog(await preferEnd(error, request), runtime, instance)
  } finally {
    over.abort(new SlipwayError('cancelled', 'The checks are over.'))
    await Promise.allSettled([checks, up])
  }
}

async function checkAll(context: CheckContext, pass: (check: CheckName) => () => void): Promise<void> {
  await waitUntilOpen(context).then(pass('port'))
  const failed = new AbortController()
  const together: CheckContext = { ...context, signal: AbortSignal.any([context.signal, failed.signal]) }
  const checks = [probeUntilHealthy(together).then(pass('http'))]
  if (context.healthcheck !== null) checks.push(runHealthcheck(together).then(pass('healthcheck')))
  if (context.config.selfTests.length > 0) checks.push(runSelfTests(together).then(pass('self-tests')))
  try {
    await Promise.all(checks)
  } finally {
    // The first that fails ends the others, and nothing of them goes on behind our back.
    failed.abort(new SlipwayError('cancelled', 'Another check failed.'))
    await Promise.allSettled(checks)
  }
}

/**
 * From here on the engine brings an instance back that has passed. Looked at once more, so that an end in between is not taken
 * for good: `check_failed` then. Safe to repeat.
 */
export async function keepChecked(request: Pick<CheckRequest, 'runtime' | 'instance' | 'config'>): Promise<void> {
  const { runtime, instance } = request
  try {
    await runtime.keepRunning(instance.containerId)
    await confirm(request)
  } catch (error) {
    throw await withLog(asSlipwayError(error), runtime, instance)
  }
}

/** Looked at last, also when the engine has told of nothing. */
async function confirm(request: Pick<CheckRequest, 'runtime' | 'instance' | 'config'>): Promise<void> {
  const now = await request.runtime.inspect(request.instance.containerId)
  const end = explainEnd(now, endsOf(request))
  if (end !== null) throw failedCheck(end)
}

/** When the process has ended, that is why everything else failed too. */
async function preferEnd(error: unknown, request: CheckRequest): Promise<SlipwayError> {
  const failure = asSlipwayError(error)
  if (failure.code !== 'check_failed' && failure.code !== 'conflict') return failure
  const now = await request.runtime.inspect(request.instance.containerId).catch(() => undefined)
  // An engine that does not answer is unknown.
  if (now === undefined) return failure
  const end = explainEnd(now, endsOf(request))
  return end === null || end.message === failure.message ? failure : failedCheck(end, failure.evidence)
}

async function withLog(
  failure: SlipwayError,
  runtime: Runtime,
  instance: CheckRequest['instance'],
): Promise<SlipwayError> {
  if (failure.code !== 'check_failed') return failure
  const log = await runtime.logs(instance.containerId, logLines).catch(() => ['(the log could not be read)'])
  const newest = log.length === 1 ? 'The last line' : `The last ${log.length} lines`
  const heading = log.length === 0 ? 'The app wrote nothing to its log.' : `${newest} of its log:`
  const hint = log.length === 0 && failure.hint !== undefined ? hintWithoutLog(failure.hint) : failure.hint
  return new SlipwayError(failure.code, failure.message, {
    ...(hint === undefined ? {} : { hint }),
    evidence: [...failure.evidence, heading, ...log],
    cause: failure.cause,
  })
}
