import { type IncomingMessage, request } from 'node:http'
import { isIPv4 } from 'node:net'
import { SlipwayError } from '../../kernel/errors.ts'

/** What came back from one attempt. Redirects are not followed. */
export type ProbeResult =
  | { readonly kind: 'answer'; readonly status: number; readonly reason: string; readonly firstLine: string }
  /** Nothing accepts connections there. */
  | { readonly kind: 'refused' }
  /** The connection stood, or was tried, but no whole answer came in time. */
  | { readonly kind: 'silent'; readonly connected: boolean }
  /** Something answered that is not HTTP, or hung up. */
  | { readonly kind: 'broken'; readonly why: string }

export interface ProbeTarget {
  readonly address: string
  readonly port: number
  readonly path: string
  /** What the proxy would send: the environment's host (with the port where it is not the scheme's own) and scheme. */
  readonly host: string
  readonly scheme: 'http' | 'https'
}

/** As the proxy has it; the body is read only to show its beginning. */
const headerLimit = 16 * 1024
const bodyLimit = 4 * 1024

/** One GET. Never rejects but for a caller's mistake or when the signal fires. */
export function probeHttp(
  target: ProbeTarget,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<ProbeResult> {
  if (!isIPv4(target.address)) throw new SlipwayError('internal', 'An instance is probed at an IPv4 address only.')
  return new Promise((resolve, reject) => {
    let connected = false
    const probe = request({
      host: target.address,
      port: target.port,
      path: target.path,
      agent: false,
      maxHeaderSize: headerLimit,
      // As forgiving as the proxy: what passes there (lines that end without a carriage return) must not fail here.
      insecureHTTPParser: true,
      signal: options.signal,
      headers: {
        Host: target.host,
        'X-Forwarded-Proto': target.scheme,
        'User-Agent': 'slipway-check',
        Accept: '*/*',
        Connection: 'close',
      },
    })
    // A limit for the whole attempt: an app that drips its headers never runs into a socket's time-out.
    const timer = setTimeout(() => finish({ kind: 'silent', connected }), options.timeoutMs)
    function finish(result: ProbeResult): void {
      clearTimeout(timer)
      resolve(result)
      probe.destroy()
    }
    probe.on('socket', (socket) => socket.once('connect', () => (connected = true)))
    probe.on('response', (response) => {
      void readStart(response).then((firstLine) => finish(answer(response, firstLine)))
    })
    probe.on('error', (error) => {
      clearTimeout(timer)
      if (options.signal.aborted) reject(options.signal.reason instanceof Error ? options.signal.reason : error)
      else resolve(failure(error))
    })
    probe.end()
  })
}

function answer(response: IncomingMessage, firstLine: string): ProbeResult {
  // Bytes, each as a letter: as such a secret with an umlaut in it would be masked nowhere.
  const reason = Buffer.from(response.statusMessage ?? '', 'latin1').toString('utf8')
  return { kind: 'answer', status: response.statusCode ?? 0, reason, firstLine }
}

function failure(error: Error): ProbeResult {
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'ECONNREFUSED') return { kind: 'refused' }
  if (code === 'HPE_HEADER_OVERFLOW') return { kind: 'broken', why: 'its headers are larger than 16 KiB' }
  if (code.startsWith('HPE_')) return { kind: 'broken', why: 'what it sent is not HTTP' }
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return { kind: 'broken', why: 'it closed the connection without an answer' }
  return { kind: 'broken', why: error.message }
}

/** The first line of the body. A good answer is not waited for: its status is all that counts. */
function readStart(response: IncomingMessage): Promise<string> {
  if ((response.statusCode ?? 0) < 400) return Promise.resolve('')
  return new Promise((resolve) => {
    let text = ''
    const timer = setTimeout(end, 500)
    function end(): void {
      clearTimeout(timer)
      resolve(text.trimStart().split('\n')[0]?.trim() ?? '')
    }
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
      if (text.length >= bodyLimit) end()
    })
    response.once('end', end)
    response.once('error', end)
    response.once('close', end)
  })
}
