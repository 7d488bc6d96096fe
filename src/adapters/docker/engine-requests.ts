import { type IncomingMessage, request } from 'node:http'
import type { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { SlipwayError } from '../../kernel/errors.ts'

type Answered = (error: unknown, answer?: unknown) => void

/** What docker-modem does with each request; the types leave it out. */
interface Modem {
  dial(options: object, answered: Answered): void
}

/** What dockerode can ask, for the time of one call. */
export interface Requests {
  readonly docker: Docker
  /** From now on nothing more can be asked: whoever kept something of the call would ask without a limit. */
  readonly close: () => void
}

/**
 * A client of which every request ends with the signal, its connection and its answer's stream with it: whoever asks cannot
 * forget to pass the signal on.
 */
export function requestsUntil(docker: Docker, signal: AbortSignal): Requests {
  const modem = docker.modem as unknown as Modem
  const bound = Object.create(modem) as Modem
  let open = true
  bound.dial = (options, answered) => {
    if (!open) return answered(new SlipwayError('internal', 'The Docker engine was asked when the call was over.'))
    modem.dial.call(bound, { ...options, abortSignal: signal }, (error, answer) => {
      if (isStream(answer)) endWith(answer, signal)
      answered(error, answer)
    })
  }
  const one = Object.create(docker) as Docker
  one.modem = bound as unknown as Docker['modem']
  return {
    docker: one,
    close: () => {
      open = false
    },
  }
}

/**
 * Not through dockerode, which writes all that hangs on a request into a text that nobody reads: with hundreds of streams that
 * was minutes of CPU.
 */
export function openStream(socketPath: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, path, agent: false, headers: { host: 'engine' } }, (res) => {
      endWith(res, signal)
      if (res.statusCode === 200) return resolve(res)
      res.resume()
      const error = new Error(`(HTTP code ${res.statusCode ?? 0}) refused - the log cannot be read`)
      reject(Object.assign(error, { statusCode: res.statusCode }))
    })
    const end = (): void => void req.destroy()
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    req.once('close', () => signal.removeEventListener('abort', end))
    req.on('error', reject)
    req.end()
  })
}

function isStream(answer: unknown): answer is Readable {
  return typeof answer === 'object' && answer !== null && 'destroy' in answer && 'pipe' in answer
}

/** Node's own signal ends a request, and no longer the answer that has begun. */
function endWith(stream: Readable, signal: AbortSignal): void {
  const end = (): void => {
    // Whoever waits for more of it hears why; where nobody does, that is no error.
    stream.on('error', () => undefined)
    stream.destroy(signal.reason instanceof Error ? signal.reason : undefined)
  }
  signal.addEventListener('abort', end, { once: true })
  stream.once('close', () => signal.removeEventListener('abort', end))
  if (signal.aborted) end()
}
