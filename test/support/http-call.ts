import { request } from 'node:http'
import { connect } from 'node:net'

export interface HttpReply {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers are looked at by tests only
  readonly json: any
}

export interface HttpCall {
  readonly token?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** One request to a server on loopback, whatever its host name. */
export function httpCall(method: string, url: string, call: HttpCall = {}): Promise<HttpReply> {
  const { port, host, pathname, search } = new URL(url)
  const text =
    call.body === undefined ? undefined : typeof call.body === 'string' ? call.body : JSON.stringify(call.body)
  const headers = {
    host,
    ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
    ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    ...call.headers,
  }
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path: pathname + search, headers, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8')
        const isJson = /[/+]json/.test(res.headers['content-type'] ?? '')
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          text: body,
          json: isJson && body !== '' ? (JSON.parse(body) as unknown) : null,
        })
      })
    })
    req.setTimeout(30_000, () => req.destroy(new Error('no answer in 30 s')))
    req.on('error', reject)
    req.end(text)
  })
}

/** Writes bytes as they are and returns all that came back until the server closed, or until `waitMs` of silence. */
export function rawCall(port: number, bytes: string | Buffer, waitMs = 1_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(waitMs, done)
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    socket.on('close', done)
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? done() : reject(error)))
  })
}

/** Polls until `check` gives something. */
export async function eventually<T>(check: () => T | null | undefined | false, what: string, ms = 30_000): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const found = check()
    if (found !== null && found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
