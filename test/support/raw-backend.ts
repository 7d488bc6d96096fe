import { createServer, type AddressInfo } from 'node:net'
import type { Target } from '../../src/routing/index.ts'

/** One request as it stood on the wire. */
export interface RawRequest {
  readonly line: string
  /** Names in lower case, each as often as it came. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

export interface RawBackend {
  readonly target: Target
  /** Everything that arrived since the last call, and what it is when read by the letter of RFC 9112. */
  take(): { bytes: string; requests: RawRequest[] }
  close(): Promise<void>
}

/** A server that forgives nothing and hides nothing: it keeps the bytes it is sent and answers each request with `ok`. */
export async function startRawBackend(): Promise<RawBackend> {
  let bytes = ''
  const sockets = new Set<import('node:net').Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let mine = ''
    let answered = 0
    socket.on('data', (chunk) => {
      bytes += chunk.toString('latin1')
      mine += chunk.toString('latin1')
      for (const whole = readRequests(mine).length; answered < whole; answered += 1) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
  }).listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  return {
    target: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
    take() {
      const taken = { bytes, requests: readRequests(bytes) }
      bytes = ''
      return taken
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

export function readRequests(bytes: string): RawRequest[] {
  const requests: RawRequest[] = []
  let rest = bytes
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return requests
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers = lines.map((text) => {
      const colon = text.indexOf(':')
      return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()] as const
    })
    rest = rest.slice(end + 4)
    const chunked = headers.some(([name]) => name === 'transfer-encoding')
    const length = Number(headers.find(([name]) => name === 'content-length')?.[1] ?? 0)
    const body = chunked ? readChunks(rest) : rest.length < length ? null : [rest.slice(0, length), rest.slice(length)]
    if (body === null) return requests
    rest = body[1] ?? ''
    requests.push({ line, headers, body: body[0] ?? '' })
  }
}

function readChunks(bytes: string): [body: string, rest: string] | null {
  let rest = bytes
  let body = ''
  for (;;) {
    const size = /^([0-9a-f]+)[^\r\n]*\r\n/i.exec(rest)
    if (size === null) return null
    const length = Number.parseInt(size[1] ?? '', 16)
    const start = size[0].length
    if (rest.length < start + length + 2) return null
    body += rest.slice(start, start + length)
    rest = rest.slice(start + length + 2)
    if (length === 0) return [body, rest]
  }
}
