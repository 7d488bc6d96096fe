import { Agent } from 'node:http'
import { inspect, types } from 'node:util'
import Docker from 'dockerode'
import { SlipwayError, type ErrorCode } from '../../kernel/errors.ts'
import { withTimeout } from '../../kernel/timeout.ts'

/**
 * One Docker engine. Every call has a time limit, because a stopped engine hangs instead of failing.
 *
 * Errors: `unavailable` when the engine does not answer (then what the call did is unknown), `timeout`, `not_found` (404),
 * `conflict` (409), else `internal`. The engine's own words are in `engineReason(error)`.
 */
export interface Engine {
  readonly docker: Docker
  readonly socketPath: string
  /** `work` gets a signal that it passes on as `abortSignal`; without that the request lives on when the time is over. */
  call<T>(
    what: string,
    work: (docker: Docker, signal: AbortSignal) => Promise<T>,
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<T>
}

/** 10 s: an inspect takes 2–40 ms (measured); a loaded engine that deletes layers has been seen to need seconds. */
const defaultTimeoutMs = 10_000

/** docker-modem writes out all that hangs on a request's options at every call: with open streams that took half a core. */
class BriefAgent extends Agent {
  [inspect.custom](): string {
    return 'Agent'
  }
}

export function makeEngine(options: { socketPath: string; timeoutMs?: number }): Engine {
  // The types lack `agent`, and forbid the `undefined` that keeps a DOCKER_HOST in the environment from winning.
  const how: Record<string, unknown> = {
    socketPath: options.socketPath,
    host: undefined,
    protocol: 'http',
    // A connection for each call (0.1 ms on a Unix socket): a kept one fails in the middle of a POST after the engine restarts.
    agent: new BriefAgent({ keepAlive: false }),
  }
  const docker = new Docker(how)
  return {
    docker,
    socketPath: options.socketPath,
    async call(what, work, limits = {}) {
      try {
        return await withTimeout(
          {
            ms: limits.timeoutMs ?? options.timeoutMs ?? defaultTimeoutMs,
            what: `The Docker engine (${what})`,
            ...(limits.signal === undefined ? {} : { signal: limits.signal }),
          },
          (signal) => work(docker, signal),
        )
      } catch (error) {
        throw asEngineError(error, what)
      }
    },
  }
}

/** Maps what dockerode throws; a `SlipwayError` (also one that is the reason of an abort) passes unchanged. */
export function asEngineError(error: unknown, what: string): Error {
  if (error instanceof SlipwayError) return error
  // Not instanceof: the errors of Node's own modules are of another realm where tests run.
  if (!types.isNativeError(error))
    return new SlipwayError('internal', `The Docker engine failed: ${what}.`, { cause: error })
  if (error.name === 'AbortError') return error.cause instanceof SlipwayError ? error.cause : error
  const status = statusOf(error)
  if (status !== null) {
    const code: ErrorCode = status === 404 ? 'not_found' : status === 409 ? 'conflict' : 'internal'
    return new SlipwayError(code, `The Docker engine refused (${what}): ${reasonOf(error)}`, { cause: error })
  }
  if (isDisconnect(error)) {
    return new SlipwayError('unavailable', `The Docker engine does not answer (${what}).`, {
      hint: 'See whether it runs: docker info. Slipway goes on by itself when it is back.',
      cause: error,
    })
  }
  return new SlipwayError('internal', `The Docker engine failed (${what}).`, { cause: error })
}

/** What the engine said, without dockerode's wrapping; '' when the error is not an answer of the engine. */
export function engineReason(error: unknown): string {
  for (let e = error; types.isNativeError(e); e = e.cause) {
    if (statusOf(e) !== null) return reasonOf(e)
  }
  return ''
}

export function isNotFound(error: unknown): boolean {
  return error instanceof SlipwayError && error.code === 'not_found'
}

/** Resolves with null instead of throwing when the engine answers that there is no such thing. */
export async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (isNotFound(error)) return null
    throw error
  }
}

const disconnects = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EACCES',
  'EPIPE',
  'EAGAIN',
  'ETIMEDOUT',
  'ENOTSOCK',
])

function isDisconnect(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && disconnects.has(error.code)
}

function statusOf(error: Error): number | null {
  return 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : null
}

/** dockerode: `(HTTP code 404) no such image - No such image: x:latest `. */
function reasonOf(error: Error): string {
  return error.message.replace(/^\(HTTP code \d+\) [^-]*- /, '').trim()
}
