import { SlipwayError } from '../../kernel/errors.ts'
import { type CheckContext, failedCheck } from './check.ts'

const evidenceLines = 40

interface Ended {
  readonly exitCode: number | null
  readonly output: readonly string[]
  /** The deadline came before its own time was over. */
  readonly isCut: boolean
}

/** Runs the test of the image's HEALTHCHECK at once and then at the interval until it ends with 0. */
export async function runHealthcheck(context: CheckContext): Promise<void> {
  const { clock, config, healthcheck, signal } = context
  if (healthcheck === null) return
  let told: number | null = -1
  let before: Ended | null = null
  for (;;) {
    const tried = await execute(context, healthcheck.argv, healthcheck.timeoutMs ?? config.health.timeoutMs)
    // One that only the deadline ended says less than what it said before.
    const ended: Ended = tried.isCut ? (before ?? tried) : tried
    before = ended
    if (ended.exitCode !== told) context.onAttempt(`HEALTHCHECK → ${outcome(ended)}`)
    told = ended.exitCode
    if (ended.exitCode === 0) return
    if (clock.monotonicMs() + config.health.intervalMs >= context.deadlineMs) {
      throw failedCheck(
        {
          message: `The image’s HEALTHCHECK did not pass within ${config.health.deadlineMs / 1000} s: ${outcome(ended)}.`,
          hint: `${whereOutput(ended)} Its command runs inside the container; the programs it calls must be in the image.`,
        },
        ended.output.slice(-evidenceLines),
      )
    }
    await clock.sleep(config.health.intervalMs, signal)
  }
}

/** Runs the app's own tests, one after the other, once. The first that fails is final. */
export async function runSelfTests(context: CheckContext): Promise<void> {
  for (const command of context.config.selfTests) {
    const left = Math.max(1, context.deadlineMs - context.clock.monotonicMs())
    // The app's own command line, inside the app's own container.
    const ended = await execute(context, ['/bin/sh', '-c', command], left)
    context.onAttempt(`self test “${command}” → ${outcome(ended)}`)
    if (ended.exitCode === 0) continue
    throw failedCheck(
      {
        message: `The self test “${command}” failed: ${outcome(ended)}.`,
        hint:
          ended.exitCode === null
            ? 'All checks share health.deadline in slipway.yml; give it more time.'
            : `${whereOutput(ended)} It runs in a new instance with the environment’s variables.`,
      },
      ended.output.slice(-evidenceLines),
    )
  }
}

function whereOutput({ output }: Ended): string {
  return output.some((line) => line.trim() !== '') ? 'Its output is above.' : 'It printed nothing.'
}

function outcome({ exitCode }: Ended): string {
  return exitCode === null ? 'not ended in time' : `exit code ${exitCode}`
}

/** Exit code null: it took longer than its time. */
async function execute(context: CheckContext, argv: readonly string[], timeoutMs: number): Promise<Ended> {
  const { runtime, instance, signal } = context
  const left = Math.max(1, context.deadlineMs - context.clock.monotonicMs())
  try {
    const ended = await runtime.exec(instance.containerId, argv, { timeoutMs: Math.min(timeoutMs, left), signal })
    return { ...ended, isCut: false }
  } catch (error) {
    if (!signal.aborted && error instanceof SlipwayError && error.code === 'timeout')
      return { exitCode: null, output: [], isCut: left < timeoutMs }
    throw error
  }
}
