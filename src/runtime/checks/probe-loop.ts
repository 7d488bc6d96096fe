import { firstPauseMs, longestPauseMs } from '../wait-for-port.ts'
import { type CheckContext, failedCheck, networkProbes } from './check.ts'
import { describeAttempt, explainHttp, isHealthy } from './judge.ts'
import type { ProbeResult, ProbeTarget } from './probe-http.ts'

/** When to look where the app listens instead, and to say so while it is still waited for. */
const suspicionMs = 3_000

/** Resolves when something accepts connections on the port. */
export async function waitUntilOpen(context: CheckContext): Promise<void> {
  const { clock, signal, config, probes = networkProbes } = context
  const longest = Math.min(longestPauseMs, config.health.intervalMs)
  const startedMs = clock.monotonicMs()
  const place = { address: context.address, port: context.port.port }
  let suspicious = false
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, longest)) {
    const outcome = await probes.connect(place, { timeoutMs: config.health.timeoutMs, signal })
    if (outcome === 'open') return
    const result: ProbeResult = outcome === 'refused' ? { kind: 'refused' } : { kind: 'silent', connected: false }
    if (pauseMs === firstPauseMs) context.onAttempt(describeAttempt(targetOf(context), result))
    if (clock.monotonicMs() >= context.deadlineMs) throw await explain(context, result)
    if (!suspicious && clock.monotonicMs() - startedMs > suspicionMs) {
      suspicious = true
      await tellSuspicion(context, result)
    }
    await clock.sleep(Math.min(pauseMs, Math.max(1, context.deadlineMs - clock.monotonicMs())), signal)
  }
}

async function tellSuspicion(context: CheckContext, result: ProbeResult): Promise<void> {
  const listeners = await context.runtime.listeners(context.instance.containerId).catch(() => null)
  if (listeners === null || listeners.length === 0) return
  context.onAttempt(`${diagnose(context, result, listeners).message} Still waiting.`)
}

/** Probes at once and then at the interval until an answer is good. */
export async function probeUntilHealthy(context: CheckContext): Promise<void> {
  const { clock, config, probes = networkProbes, signal } = context
  const target = targetOf(context)
  let told = ''
  let before: ProbeResult | null = null
  for (;;) {
    const left = Math.max(1, context.deadlineMs - clock.monotonicMs())
    const seen = await probes.get(target, { timeoutMs: Math.min(config.health.timeoutMs, left), signal })
    // The deadline, not the app, cut this one short: what the app said before tells more.
    const result: ProbeResult = seen.kind === 'silent' && left < config.health.timeoutMs ? (before ?? seen) : seen
    before = result
    const line = describeAttempt(target, result)
    if (line !== told) context.onAttempt(line)
    told = line
    if (isHealthy(result, config.health)) return
    if (clock.monotonicMs() + config.health.intervalMs >= context.deadlineMs) throw await explain(context, result)
    await clock.sleep(config.health.intervalMs, signal)
  }
}

async function explain(context: CheckContext, result: ProbeResult) {
  const { runtime, instance } = context
  const listeners = result.kind === 'refused' ? await runtime.listeners(instance.containerId).catch(() => null) : null
  return failedCheck(diagnose(context, result, listeners), evidence(targetOf(context), result))
}

function diagnose(
  context: CheckContext,
  result: ProbeResult,
  listeners: Parameters<typeof explainHttp>[2]['listeners'],
) {
  const { health } = context.config
  return explainHttp(result, health, {
    port: context.port,
    listeners,
    deadlineMs: health.deadlineMs,
    timeoutMs: health.timeoutMs,
  })
}

/** The probe's URL and last answer. */
function evidence(target: ProbeTarget, result: ProbeResult): string[] {
  const url = `http://${target.address}:${target.port}${target.path}`
  const lines = [
    `Last probe: GET ${url} (Host: ${target.host}): ${describeAttempt(target, result).split(' → ')[1] ?? ''}`,
  ]
  if (result.kind === 'answer' && result.firstLine !== '')
    lines.push(`Its first line: ${result.firstLine.slice(0, 500)}`)
  return lines
}

function targetOf({ address, port, config, host, scheme }: CheckContext): ProbeTarget {
  return { address, port: port.port, path: config.health.path ?? '/', host, scheme }
}
