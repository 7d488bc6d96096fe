import { mkdtemp, rm } from 'node:fs/promises'
import {
  type Agent,
  type IncomingHttpHeaders,
  createServer,
  type RequestListener,
  type Server,
  request,
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { makeProxy, type Proxy, type ProxyOptions } from '../../src/adapters/haproxy/index.ts'
import { type Logger, silentLogger } from '../../src/kernel/logger.ts'
import type { Target } from '../../src/routing/index.ts'
import { freePort } from './free-port.ts'

export { freePort }

export const controlHost = 'slipway.example.org'
const root = resolve(__dirname, '../..')

export interface TestProxy extends Proxy {
  readonly dataDir: string
  readonly port: number
  /** Another Slipway's view of the same proxy: what the next start of the server makes. */
  again(options?: Partial<ProxyOptions>): Proxy
  remove(): Promise<void>
}

/** A HAProxy of its own on a free port; `remove` ends it and takes its folder away. */
export async function startTestProxy(options: Partial<ProxyOptions> = {}): Promise<TestProxy> {
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-proxy-'))
  const port = await freePort()
  const again = (more: Partial<ProxyOptions> = {}): Proxy =>
    makeProxy({
      dataDir,
      bind: '127.0.0.1',
      port,
      controlHost,
      trustedProxies: [],
      root,
      logger: silentLogger,
      ...options,
      ...more,
    })
  const proxy = again()
  await proxy.ensure()
  return {
    ...proxy,
    dataDir,
    port,
    again,
    async remove() {
      await proxy.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export interface Backend {
  readonly target: Target
  readonly server: Server
  close(): Promise<void>
}

/** A small HTTP server on loopback, as an instance would be. */
export async function startBackend(listener: RequestListener): Promise<Backend> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener).listen(0, '127.0.0.1', 1024)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise((done) => server.once('listening', done))
  return {
    target: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
    server,
    async close() {
      // Upgraded ones too, of which the server knows nothing any more.
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

/** A backend that answers with a name and what it was sent. */
export function startEcho(name: string): Promise<Backend> {
  return startBackend((req, res) => {
    let size = 0
    req.on('data', (chunk: Buffer) => (size += chunk.length))
    req.on('end', () => res.end(JSON.stringify({ name, method: req.method, url: req.url, headers: req.headers, size })))
  })
}

export interface Echoed {
  readonly name: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly size: number
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Ask {
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string | string[]>
  readonly body?: string | Buffer
  readonly agent?: Agent
  /** Of loopback: who asks. */
  readonly localAddress?: string
}

/** One request through the proxy; a connection of its own unless an agent is given. */
export function ask(port: number, host: string, options: Ask = {}): Promise<Answer> {
  const { path = '/', method = 'GET', headers = {}, body, agent, localAddress = '127.0.0.1' } = options
  return new Promise((done, fail) => {
    const req = request(
      { host: '127.0.0.1', localAddress, port, path, method, agent: agent ?? false, headers: { host, ...headers } },
      (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', fail)
        res.on('end', () =>
          done({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks).toString() }),
        )
      },
    )
    req.on('error', fail)
    req.end(body)
  })
}

/**
 * Sends bytes as they are and returns all that comes back until the other side closes or is silent for `quietMs`; the first of it may
 * take `firstMs`.
 */
export function sendRaw(port: number, bytes: string, quietMs = 500, firstMs = 5_000): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'))
    let text = ''
    socket.setTimeout(firstMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      socket.setTimeout(quietMs)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? done(text) : fail(error)))
    socket.on('close', () => done(text))
  })
}

/** One command on the runtime socket, or on its master's, as somebody at the machine would give it. */
export function tellProxy(proxy: TestProxy, command: string, name = 'proxy.sock'): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(join(proxy.dataDir, 'run', name), () => socket.write(`${command}\n`))
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('error', fail)
    socket.on('close', () => done(text))
  })
}

/** Waits until `check` says yes; fails after `ms`. */
export async function until(check: () => Promise<boolean> | boolean, ms: number, what: string): Promise<number> {
  const begun = performance.now()
  while (!(await check())) {
    if (performance.now() - begun > ms) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((done) => setTimeout(done, 10))
  }
  return performance.now() - begun
}

/** Collects what is logged, as `level message`. */
export function makeLogLines(): { logger: Logger; lines: string[] } {
  const lines: string[] = []
  const at =
    (level: string) =>
    (message: string): void =>
      void lines.push(`${level} ${message}`)
  const logger: Logger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: () => logger,
  }
  return { logger, lines }
}
