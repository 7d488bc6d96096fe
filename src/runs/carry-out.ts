import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { type Attached, type AttachedClient, type Exit, join } from '../runtime/index.ts'
import { recordEnded, recordStarted } from './events.ts'
import type { Run, RunNeeds } from './run.ts'

/** Between SIGTERM and SIGKILL, for a command that nobody looks at any more. */
const stopGraceMs = 10_000

/**
 * One run from its container to its removal. Resolves when nothing of it is left; what went wrong is told to the client. Its output
 * goes to the client alone and is kept nowhere.
 */
export async function carryOut(
  run: Run,
  client: AttachedClient,
  needs: RunNeeds & { stopping: AbortSignal },
): Promise<void> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(tooLong(needs.limits.timeMs)), needs.limits.timeMs)
  const signal = AbortSignal.any([client.gone, limit.signal, run.over.signal, needs.stopping])
  let attached: Attached | null = null
  let exit: Exit | null = null
  let giveBack = (): void => undefined
  try {
    const { container, assertRoom } = await needs.readOneOff(run.environment.id, run.id)
    giveBack = await assertRoom()
    const { size = null, term = null } = run.terminal ?? {}
    const env = term === null ? container.env : { TERM: term, ...container.env }
    attached = await needs.runtime.runAttached({ ...container, env, argv: run.command, terminal: size }, signal)
    await recordStarted(needs.db, run)
    client.tell({ type: 'started' })
    exit = await until(join(attached, client), signal)
    client.tell({ type: 'exit', ...exit })
  } catch (thrown) {
    const { code, message, hint } = asSlipwayError(signal.aborted ? signal.reason : thrown)
    if (code === 'internal') needs.logger.error('a run failed', { run: run.id, error: thrown })
    client.tell({ type: 'failed', code, detail: message, ...(hint === undefined ? {} : { hint }) })
  } finally {
    clearTimeout(timer)
    client.end()
    await takeAway(run, { attached, exit, needs })
    giveBack()
  }
}

async function takeAway(
  run: Run,
  { attached, exit, needs }: { attached: Attached | null; exit: Exit | null; needs: RunNeeds },
): Promise<void> {
  if (attached === null) return
  const { containerId } = attached
  if (exit === null) {
    // What a terminal that is closed says to whatever runs in it: shells do not heed SIGTERM.
    if (run.terminal !== null) await attached.signal('SIGHUP')
    await needs.runtime.stop(containerId, stopGraceMs)
  }
  attached.close()
  // First: of what is removed nobody would find out afterwards that it was not told.
  await recordEnded(needs.db, run, exit)
  await needs.runtime.remove(containerId)
}

function tooLong(timeMs: number): SlipwayError {
  const hours = timeMs / 3_600_000
  return new SlipwayError('timeout', `It was still running after ${hours} h, which is the limit, and was ended.`, {
    hint: 'The limit is the server’s SLIPWAY_RUN_HOURS.',
  })
}

function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject)
  })
}
