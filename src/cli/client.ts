import { lookup as resolve } from 'node:dns'
import { type ClientRequest, type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http'
import type { LookupFunction } from 'node:net'
import type { WebSocket } from 'ws'
import { longestMessage } from '../kernel/attachment.ts'
import { exits, Failure, Problem } from './failure.ts'
import type { Output } from './output.ts'
import { isLoopbackHost } from './server-url.ts'

/** Talks to the HTTP API of one server. */
export interface Client {
  readonly origin: string
  /** The JSON of a successful answer; anything else is thrown as a Failure with its exit code. `path` is below /api/v1. */
  call<T>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<T>
  /** Opens an answer that goes on. The caller reads it, and destroys it. */
  open(
    path: string,
    headers: Record<string, string>,
    options: { silentMs: number; signal: AbortSignal },
  ): Promise<IncomingMessage>
  /** Opens a WebSocket, paused. */
  connect(path: string): Promise<WebSocket>
}

/** For a whole call. The server answers in milliseconds; a frozen one must not hold a script. */
const usualCallMs = 30_000
/** Who waits for longer than this is told what for. */
const usualSlowMs = 5_000
const largestAnswer = 32 * 1024 * 1024

export function makeClient(options: {
  origin: string
  token: string | null
  version: string
  /** Is told when an answer does not come soon. */
  out: Pick<Output, 'note'>
  callMs?: number
  slowMs?: number
}): Client {
  const { origin, token, callMs = usualCallMs, slowMs = usualSlowMs } = options
  const headers = (): Record<string, string> => ({
    'user-agent': `slipway-cli/${options.version}`,
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  })
  const send = async (method: string, path: string, extra: RequestOptions, body?: string): Promise<ClientRequest> => {
    const url = new URL(`/api/v1${path}`, origin)
    const request = url.protocol === 'https:' ? (await import('node:https')).request : httpRequest
    const req = request(url, {
      method,
      agent: false,
      lookup: lookupLoopback,
      ...extra,
      headers: {
        accept: 'application/json',
        ...headers(),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        ...(extra.headers as Record<string, string> | undefined),
      },
    })
    req.end(body)
    return req
  }

  return {
    origin,
    async call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const signal = AbortSignal.timeout(callMs)
      const text = body === undefined ? undefined : JSON.stringify(body)
      const slow = setTimeout(() => {
        options.out.note(`${origin} has not answered for ${slowMs / 1000} s; waiting …`)
      }, slowMs)
      try {
        const res = await answerTo(await send(method, path, { signal, headers }, text))
        return readJson(origin, res.statusCode ?? 0, res.headers['content-type'] ?? '', await readAll(res)) as T
      } catch (error) {
        // Node tells a time limit as any other abort.
        if (signal.aborted && !(error instanceof Failure)) throw noAnswer(origin, callMs, method)
        throw toFailure(origin, error)
      } finally {
        clearTimeout(slow)
      }
    },
    async open(path, headers, { silentMs, signal }) {
      try {
        const req = await send('GET', path, { headers, signal, timeout: silentMs })
        req.on('timeout', () => req.destroy(new Error('nothing came for a long time')))
        const res = await answerTo(req)
        if (res.statusCode === 200) return res
        readJson(origin, res.statusCode ?? 0, res.headers['content-type'] ?? '', await readAll(res))
        throw notSlipway(origin, `it answered ${res.statusCode ?? 0}`)
      } catch (error) {
        throw toFailure(origin, error)
      }
    },
    async connect(path) {
      const { WebSocket } = await import('ws')
      const url = new URL(`/api/v1${path}`, origin)
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
      const socket = new WebSocket(url, {
        lookup: lookupLoopback,
        headers: headers(),
        handshakeTimeout: callMs,
        maxPayload: longestMessage,
        perMessageDeflate: false,
      })
      try {
        const refusal = await opened(socket)
        if (refusal === null) return socket
        const { statusCode = 0, headers: said } = refusal
        readJson(origin, statusCode, said['content-type'] ?? '', await readAll(refusal))
        throw notSlipway(origin, `it answered ${statusCode}`)
      } catch (error) {
        throw toFailure(origin, error)
      }
    },
  }
}

/** Null when the connection stands, else the answer that it got instead. */
function opened(socket: WebSocket): Promise<IncomingMessage | null> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      // Until it is listened to.
      socket.pause()
      resolve(null)
    })
    socket.once('unexpected-response', (_req, res: IncomingMessage) => resolve(res))
    socket.on('error', reject)
  })
}

const lookupLoopback: LookupFunction = (hostname, options, callback) => {
  if (!isLoopbackHost(hostname)) return void resolve(hostname, options, callback)
  const both = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]
  if (options.all === true) callback(null, both)
  else callback(null, '127.0.0.1', 4)
}

function answerTo(req: ClientRequest): Promise<IncomingMessage> {
  return new Promise((done, reject) => {
    req.once('response', done)
    req.on('error', reject)
  })
}

async function readAll(res: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of res as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > largestAnswer) throw new Failure(exits.failed, 'The server’s answer is too large.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function readJson(origin: string, status: number, type: string, text: string): unknown {
  if (status >= 300 && status < 400)
    throw notSlipway(origin, 'it sends elsewhere; sign in at the address where it sends to')
  const value = /^application\/(?:problem\+)?json/.test(type) ? parse(text) : undefined
  if (status >= 200 && status < 300 && value !== undefined) return value
  if (typeof value === 'object' && value !== null && 'code' in value) throw problemToFailure(origin, value)
  if ([502, 503, 504].includes(status)) {
    throw new Failure(
      exits.unreachable,
      `${origin} answers, but Slipway behind it does not (${status}).`,
      'Try again in a moment. On the server’s machine, with its settings, slipway doctor says what is wrong.',
    )
  }
  throw notSlipway(origin, `it answered ${status}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function problemToFailure(origin: string, problem: { code: unknown; detail?: unknown; hint?: unknown }): Failure {
  const detail = typeof problem.detail === 'string' ? problem.detail : 'The server refused.'
  const hint = typeof problem.hint === 'string' ? problem.hint : undefined
  if (problem.code === 'not_signed_in') {
    return new Failure(
      exits.notAllowed,
      `${origin} does not know your token.`,
      `Sign in with: slipway login ${origin} (the admin’s token is in the file admin-token of the server’s data folder)`,
    )
  }
  // The API names its fields so; the options of the verbs are called as the fields are.
  const said = detail.replaceAll(/\b(?:query|body)\.(\w+)(?:\.\d+)?: /g, '$1: ')
  const next = said === detail ? hint : 'What it takes is told by --help behind the verb.'
  return new Problem(problem.code, said, next)
}

function notSlipway(origin: string, why: string): Failure {
  return new Failure(
    exits.unreachable,
    `${origin} does not look like a Slipway server: ${why}.`,
    'Check the URL: slipway login URL',
  )
}

function noAnswer(origin: string, ms: number, method: string): Failure {
  return new Failure(
    exits.unreachable,
    `${origin} took the request and gave no answer in ${ms / 1000} s.`,
    method === 'GET'
      ? 'Sites may well go on. On the server’s machine, the log in its data folder says what it waits for.'
      : 'Whether it was done is not known: look before you ask again (slipway activity).',
  )
}

/** Anything that is not an answer is a server that cannot be reached. */
function toFailure(origin: string, error: unknown): unknown {
  if (error instanceof Failure || !(error instanceof Error)) return error
  if (error.name === 'AbortError') return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const whys: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'no such host',
    EAI_AGAIN: 'the name cannot be resolved now',
    ECONNRESET: 'the connection was cut',
    ETIMEDOUT: 'no answer in time',
    EHOSTUNREACH: 'there is no way to this host',
  }
  return new Failure(
    exits.unreachable,
    `${origin} cannot be reached: ${whys[code] ?? error.message}.`,
    'Is the server running? Another one: slipway login URL, or set SLIPWAY_URL.',
  )
}
