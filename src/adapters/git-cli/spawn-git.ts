import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { SlipwayError } from '../../kernel/errors.ts'
import { type Duplex, PassThrough, pipeline, type Writable } from 'node:stream'
import type { GitExit, HookPipes, SpawnGit } from '../../git/index.ts'
import { keepLimits } from './child-limits.ts'
import type { MemoryBound, Membership } from './memory-bound.ts'

const keptStderrBytes = 4096
const graceMs = 5000

export function makeSpawnGit(options: {
  environment: Readonly<Record<string, string>>
  memory: MemoryBound
}): SpawnGit {
  return (args, { limits, env = {}, forHook = false }) => {
    const [command = 'git', ...rest] = options.memory.wrap(['git', ...args])
    // A process group of its own: Ctrl-C in Slipway's terminal does not reach it, and all of it can be ended at once.
    const child = spawn(command, rest, {
      ...{ env: { ...options.environment, ...env }, detached: true, cwd: '/' },
      stdio: ['pipe', 'pipe', 'pipe', ...(forHook ? (['pipe', 'pipe'] as const) : [])],
    })
    const membership = join(options.memory, child)
    // A child that ends while it is written to is told by its exit code; without these listeners it would end Slipway.
    child.stdin.on('error', () => undefined)
    child.stdout.on('error', () => undefined)
    const stdin = membership === null ? child.stdin : openWhen(membership.joined, child)
    const hookPipes = forHook ? hookPipesOf(child) : null
    const ending = makeEnding(child)
    let endedFor: Error | null = null
    const leave = keepLimits({ what: args[0] ?? '', child, stdin, hookPipes }, limits, (why) => {
      endedFor = why
      ending.kill()
    })
    return {
      stdin,
      stdout: child.stdout,
      hookPipes,
      exited: exitOf(child, membership, ending.givenUp).then((exit) => {
        leave()
        return { ...exit, endedFor }
      }),
      outOfMemory: () => membership?.outOfMemory() ?? false,
      kill: ending.kill,
    }
  }
}

/** What is written waits until the child is bounded: what git starts for it is bounded too. One that cannot be does not run. */
function openWhen(joined: Promise<void>, child: ChildProcessWithoutNullStreams): Writable {
  const stdin = new PassThrough()
  stdin.on('error', () => undefined)
  const open = (): void => {
    // It may have ended already.
    if (child.stdin.destroyed) stdin.destroy()
    else pipeline(stdin, child.stdin, () => undefined)
  }
  joined.then(open, () => {
    child.kill('SIGKILL')
    stdin.destroy()
  })
  return stdin
}

function hookPipesOf(child: ChildProcessWithoutNullStreams): HookPipes {
  const [, , , talk, lines] = child.stdio as unknown as Duplex[]
  if (talk === undefined || lines === undefined) throw new SlipwayError('internal', 'Git was started without pipes.')
  // Nothing ever comes back on the second; its end is only seen by one who reads.
  lines.resume()
  return { talk, lines }
}

/** Neither does one for which there is no group. */
function join(memory: MemoryBound, child: ChildProcessWithoutNullStreams): Membership | null {
  try {
    return child.pid === undefined ? null : memory.add(child.pid)
  } catch (error) {
    child.on('error', () => undefined)
    child.kill('SIGKILL')
    throw new SlipwayError('unavailable', 'Git’s memory cannot be bounded just now.', { cause: error })
  }
}

function exitOf(
  child: ChildProcessWithoutNullStreams,
  membership: Membership | null,
  givenUp: Promise<void>,
): Promise<Omit<GitExit, 'endedFor'>> {
  const kept: Buffer[] = []
  let bytes = 0
  child.stderr.on('data', (chunk: Buffer) => {
    if (bytes < keptStderrBytes) kept.push(chunk.subarray(0, keptStderrBytes - bytes))
    bytes += chunk.length
  })
  child.stderr.on('error', () => undefined)
  return new Promise((resolve) => {
    const end = (code: number | null, failure: string): void => {
      const outOfMemory = membership?.outOfMemory() ?? false
      membership?.release()
      resolve({ code, stderr: Buffer.concat(kept).toString('utf8') + failure, outOfMemory })
    }
    child.on('error', (error) => end(null, error.message))
    child.on('close', (code) => end(code, ''))
    void givenUp.then(() => end(null, 'it cannot be ended'))
  })
}

/** Ends a child with its whole group. `givenUp` resolves when not even that has closed its pipes: a disk that hangs holds it. */
function makeEnding(child: ChildProcessWithoutNullStreams): { kill: () => void; givenUp: Promise<void> } {
  let asked = false
  let closed = false
  let giveUp = (): void => undefined
  const givenUp = new Promise<void>((resolve) => {
    giveUp = resolve
  })
  child.once('close', () => {
    closed = true
  })
  // While its pipes are open there are processes of its group, even when it has ended itself.
  const signal = (name: NodeJS.Signals): void => {
    if (child.pid === undefined || closed) return
    try {
      process.kill(-child.pid, name)
    } catch {
      // It has just ended.
    }
  }
  const abandon = (): void => {
    if (closed) return
    for (const stream of child.stdio) stream?.destroy()
    giveUp()
  }
  return {
    givenUp,
    kill() {
      if (asked) return
      asked = true
      signal('SIGTERM')
      // One that was stopped hears of it only when it goes on.
      signal('SIGCONT')
      setTimeout(() => signal('SIGKILL'), graceMs).unref()
      setTimeout(abandon, graceMs + 1_000).unref()
    },
  }
}

export interface RunOptions {
  readonly repository: string
  readonly input?: string | Buffer
  readonly timeoutMs?: number
  readonly maxOutputBytes?: number
  readonly signal?: AbortSignal
}

/** Runs git to its end and returns what it printed; rejects with `timeout`, `too_large` or the signal's reason only. */
export async function runGit(
  spawnGit: SpawnGit,
  args: readonly string[],
  options: RunOptions,
): Promise<GitExit & { stdout: Buffer }> {
  const { repository, timeoutMs = 30_000, maxOutputBytes = 16 * 1024 * 1024, signal } = options
  signal?.throwIfAborted()
  const limits = { idleMs: timeoutMs, totalMs: timeoutMs, ...(signal === undefined ? {} : { signal }) }
  const child = spawnGit(args, { env: { GIT_DIR: repository }, limits })
  const chunks: Buffer[] = []
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxOutputBytes) child.kill()
    else chunks.push(chunk)
  })
  child.stdin.end(options.input ?? '')
  const exit = await child.exited
  if (exit.endedFor !== null) throw exit.endedFor
  if (bytes > maxOutputBytes) {
    throw new SlipwayError('too_large', `git ${args[0] ?? ''} printed more than ${maxOutputBytes} bytes.`)
  }
  return { ...exit, stdout: Buffer.concat(chunks) }
}
