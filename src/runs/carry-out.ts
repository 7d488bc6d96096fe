import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import { type Attached, type AttachedClient, type Exit, join } from '../runtime/index.ts'
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
  const signal = AbortSignal.any([client.gone, limit.signal, needs.stopping])
  let attached: Attached | null = null
  let exit: Exit | null = null
  try {
    const { container, assertRoom } = await needs.readOneOff(run.environment.id, run.id)
    await assertRoom()
    const { size = null, term = null } = run.terminal ?? {}
    const env = term === null ? container.env : { TERM: term, ...container.env }
    attached = await needs.runtime.runAttached({ ...container, env, argv: run.command, terminal: size }, signal)
    await recordStarted(run, needs)
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
  await needs.runtime.remove(containerId)
  await recordEnded(run, exit, needs)
}

/** Not more than the program: arguments may hold what nobody else should read. */
const toldOf = ({ id, command }: Run) => ({ run: id, command: (command[0] ?? '').slice(0, 100) })

async function recordStarted(run: Run, { db }: RunNeeds): Promise<void> {
  const { id: environmentId, appId } = run.environment
  await db.transaction((tx) => appendEvent(tx, { kind: 'run.started', appId, environmentId, data: toldOf(run) }))
}

async function recordEnded(run: Run, exit: Exit | null, { db }: RunNeeds): Promise<void> {
  const { id: environmentId, appId } = run.environment
  const data = { ...toldOf(run), ...exit }
  await db.transaction((tx) => appendEvent(tx, { kind: 'run.ended', appId, environmentId, data }))
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
