import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { SlipwayError } from '../../kernel/errors.ts'
import { type Duplex, PassThrough, pipeline, type Writable } from 'node:stream'
import type { GitChild, GitExit, HookPipes, SpawnGit } from '../../git/index.ts'
import type { MemoryBound, Membership } from './memory-bound.ts'

const keptStderrBytes = 4096
const graceMs = 5000

export function makeSpawnGit(options: {
  environment: Readonly<Record<string, string>>
  memory: MemoryBound
}): SpawnGit {
  return (args, { env = {}, forHook = false } = {}) => {
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
    return {
      stdin: membership === null ? child.stdin : openWhen(membership.joined, child),
      stdout: child.stdout,
      hookPipes: forHook ? hookPipesOf(child) : null,
      exited: exitOf(child, membership),
      outOfMemory: () => membership?.outOfMemory() ?? false,
      kill: killer(child),
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

function exitOf(child: ChildProcessWithoutNullStreams, membership: Membership | null): Promise<GitExit> {
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
  })
}

function killer(child: ChildProcessWithoutNullStreams): () => void {
  let asked = false
  const signal = (name: NodeJS.Signals): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    try {
      process.kill(-child.pid, name)
    } catch {
      // It has just ended.
    }
  }
  return () => {
    if (asked) return
    asked = true
    signal('SIGTERM')
    setTimeout(() => signal('SIGKILL'), graceMs).unref()
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
  options.signal?.throwIfAborted()
  const child = spawnGit(args, { env: { GIT_DIR: options.repository } })
  return collect(child, args[0] ?? '', options)
}

async function collect(child: GitChild, what: string, options: RunOptions): Promise<GitExit & { stdout: Buffer }> {
  const { timeoutMs = 30_000, maxOutputBytes = 16 * 1024 * 1024, signal } = options
  let failure: Error | null = null
  const fail = (error: Error): void => {
    failure ??= error
    child.kill()
  }
  const timer = setTimeout(
    () => fail(new SlipwayError('timeout', `git ${what} did not end within ${timeoutMs / 1000} s.`)),
    timeoutMs,
  )
  const onAbort = (): void => fail(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
  signal?.addEventListener('abort', onAbort, { once: true })
  const chunks: Buffer[] = []
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxOutputBytes)
      fail(new SlipwayError('too_large', `git ${what} printed more than ${maxOutputBytes} bytes.`))
    else chunks.push(chunk)
  })
  child.stdin.end(options.input ?? '')
  const exit = await child.exited
  clearTimeout(timer)
  signal?.removeEventListener('abort', onAbort)
  if (failure !== null) throw failure as Error
  return { ...exit, stdout: Buffer.concat(chunks) }
}
