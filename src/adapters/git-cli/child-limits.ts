import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { GitLimits, HookPipes } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'

export interface LimitedChild {
  /** `receive-pack`, for the sentence. */
  readonly what: string
  readonly child: ChildProcessWithoutNullStreams
  /** What is written to for the child: its own, or what leads there. */
  readonly stdin: Writable
  readonly hookPipes: HookPipes | null
}

type Waiting = 'for git' | 'for others' | 'for Slipway'

/** Looks at a child now and then, and calls `end` once with why it must end. Call what it returns when the child has ended. */
export function keepLimits(of: LimitedChild, limits: GitLimits, end: (why: Error) => void): () => void {
  const { idleMs, totalMs, signal } = limits
  const tickMs = Math.min(5_000, Math.max(10, Math.min(idleMs, totalMs) / 10))
  let seen = progressOf(of)
  let idle = 0
  let total = 0
  let lookedAt = performance.now()

  const look = (): void => {
    const now = performance.now()
    // A Slipway that stood still itself blames nobody for it.
    const elapsed = Math.min(now - lookedAt, 2 * tickMs)
    lookedAt = now
    const waiting = waitingFor(of)
    const progress = progressOf(of)
    idle = waiting === 'for git' && progress === seen ? idle + elapsed : 0
    if (waiting !== 'for Slipway') total += elapsed
    seen = progress
    if (total >= totalMs) stop(new SlipwayError('timeout', `git ${of.what} did not end within ${totalMs / 1000} s.`))
    else if (idle >= idleMs) {
      stop(new SlipwayError('timeout', `git ${of.what} made no progress for ${idleMs / 1000} s.`))
    }
  }
  const onAbort = (): void => stop(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
  const timer = setInterval(look, tickMs)
  signal?.addEventListener('abort', onAbort, { once: true })

  function leave(): void {
    clearInterval(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  function stop(why: Error): void {
    leave()
    end(why)
  }
  if (signal?.aborted === true) onAbort()
  return leave
}

/** Whose turn it is. What git has said and nobody has read, and input that is still to come, are not git's doing. */
function waitingFor({ child, stdin, hookPipes }: LimitedChild): Waiting {
  if (child.stdout.readableLength > 0) return 'for others'
  if ([stdin, child.stdin, hookPipes?.talk, hookPipes?.lines].some(isFull)) return 'for git'
  // The hook lives as long as the deploys that the pusher watches.
  if (hookPipes !== null && bytesFrom(hookPipes.talk) > 0 && hookPipes.talk.writable) return 'for Slipway'
  return stdin.writable ? 'for others' : 'for git'
}

function isFull(stream: Writable | undefined): boolean {
  return stream !== undefined && !stream.destroyed && stream.writableLength > 0
}

/** Grows with every byte that git takes or gives. */
function progressOf({ child, hookPipes }: LimitedChild): number {
  const pipes = hookPipes === null ? [] : [hookPipes.talk, hookPipes.lines]
  const taken = [child.stdin, ...pipes].map(bytesInto)
  const given = [child.stdout, ...pipes].map(bytesFrom)
  return [...taken, ...given].reduce((sum, bytes) => sum + bytes, 0)
}

/** A child's pipes are sockets, which count; of what was written, what waits here is not taken yet. */
const bytesInto = (pipe: Writable): number =>
  ((pipe as { bytesWritten?: number }).bytesWritten ?? 0) - pipe.writableLength
const bytesFrom = (pipe: Readable | Writable): number => (pipe as { bytesRead?: number }).bytesRead ?? 0
