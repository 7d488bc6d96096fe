import { request } from 'node:http'

/** What stands behind a path where an engine's socket should be. */
export type EngineProbe =
  | { readonly kind: 'answers'; readonly version: string; readonly apiVersion: string }
  /** Nobody listens. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'forbidden' }
  /** It takes the connection and says nothing: stopped, or overloaded beyond use. */
  | { readonly kind: 'hung' }
  | { readonly kind: 'strange'; readonly what: string }

/** A loaded machine's engine was seen to take 40 ms for small answers; one that needs this long is of no use. */
const answerLimitMs = 10_000

/** Asks twice before it says `hung`: a connection taken while the engine starts may never be answered. */
export async function probeEngine(socket: string, limitMs: number = answerLimitMs): Promise<EngineProbe> {
  const first = await probeOnce(socket, limitMs / 2)
  return first.kind === 'hung' ? probeOnce(socket, limitMs / 2) : first
}

export async function probeOnce(socket: string, limitMs: number): Promise<EngineProbe> {
  try {
    const { status, body } = await get(socket, '/version', limitMs)
    const { Version: version, ApiVersion: apiVersion } = asRecord(body)
    if (status !== 200 || typeof version !== 'string' || typeof apiVersion !== 'string') {
      return { kind: 'strange', what: `it answered ${status} when asked for its version` }
    }
    return { kind: 'answers', version, apiVersion }
  } catch (error) {
    const { code, name, message } = asRecord(error)
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return { kind: 'absent' }
    if (code === 'EACCES' || code === 'EPERM') return { kind: 'forbidden' }
    if (name === 'TimeoutError') return { kind: 'hung' }
    return { kind: 'strange', what: typeof message === 'string' ? message : 'it answered nonsense' }
  }
}

/** A JSON answer of the engine; throws when it is none or takes too long. */
export async function askEngine(socket: string, path: string): Promise<Record<string, unknown>> {
  const { status, body } = await get(socket, path, answerLimitMs)
  if (status !== 200) throw new Error(`the engine answered ${status} to ${path}`)
  return asRecord(body)
}

/** The same for lists. */
export async function listFromEngine(socket: string, path: string): Promise<Record<string, unknown>[]> {
  const { status, body } = await get(socket, path, answerLimitMs)
  if (status !== 200 || !Array.isArray(body)) throw new Error(`the engine answered ${status} to ${path}`)
  return body.map(asRecord)
}

function get(socketPath: string, path: string, limitMs: number): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(limitMs)
    // The time limit arrives as an AbortError; what it means stands in the signal's reason.
    const fail = (error: Error): void => reject(signal.aborted ? (signal.reason as Error) : error)
    const call = request({ socketPath, path, signal, headers: { host: 'engine' } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as unknown })
        } catch (error) {
          fail(error as Error)
        }
      })
    })
    call.on('error', fail)
    call.end()
  })
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
