import { Agent, type IncomingMessage } from 'node:http'
import { inspect, types } from 'node:util'
import Docker from 'dockerode'
import { SlipwayError, type ErrorCode } from '../../kernel/errors.ts'
import { withTimeout } from '../../kernel/timeout.ts'
import { openStream, requestsUntil } from './engine-requests.ts'

/**
 * One Docker engine. Whatever is asked of it goes through `call`, which has a time limit, because a stopped engine hangs instead
 * of failing. When the time is over or the signal fires, the requests end too.
 *
 * Errors: `unavailable` when the engine does not answer (then what the call did is unknown), `timeout`, `not_found` (404),
 * `conflict` (409), else `internal`. The engine's own words are in `engineReason(error)`.
 */
export interface Engine {
  /**
   * The time is that of `work`: of a stream that it resolves with only the beginning, and its reader sees to the rest; the signal
   * ends it to its end. What is got out of `docker` (a container, an exec) asks nothing any more when the call is over.
   */
  call<T>(what: string, work: (docker: Docker) => Promise<T>, options?: CallOptions): Promise<T>
  /** The answer to a GET as it comes: for streams of which hundreds are open. */
  stream(what: string, path: string, signal: AbortSignal): Promise<IncomingMessage>
}

export interface CallOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
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
  const within = async <T>(
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
    { timeoutMs = options.timeoutMs ?? defaultTimeoutMs, signal }: CallOptions,
  ): Promise<T> => {
    const limit = { ms: timeoutMs, what: `The Docker engine (${what})`, ...(signal === undefined ? {} : { signal }) }
    try {
      return await withTimeout(limit, work)
    } catch (error) {
      throw asEngineError(error, what)
    }
  }
  return {
    call: (what, work, limits = {}) =>
      within(
        what,
        async (signal) => {
          const requests = requestsUntil(docker, signal)
          return work(requests.docker).finally(requests.close)
        },
        limits,
      ),
    stream: (what, path, signal) => within(what, (ends) => openStream(options.socketPath, path, ends), { signal }),
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

/** True when the connection broke, or nobody listens: the engine ended or was never there. */
export function isEngineGone(error: unknown): boolean {
  const cause = error instanceof SlipwayError && error.code === 'unavailable' ? error.cause : error
  return types.isNativeError(cause) && isDisconnect(cause)
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
