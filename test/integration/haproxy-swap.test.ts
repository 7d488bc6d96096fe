import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { createHash } from 'node:crypto'
import { Agent } from 'node:http'
import { connect, type Socket } from 'node:net'
import { ask, type Backend, startBackend, startTestProxy, type TestProxy, until } from '../support/proxy.ts'

const swaps = 100
const host = 'test--shop.example.org'
const other = 'test--other.example.org'
let proxy: TestProxy
const opened: Backend[] = []
beforeAll(async () => {
  proxy = await startTestProxy()
})
afterAll(async () => {
  await Promise.all(opened.map((backend) => backend.close()))
  await proxy.remove()
})

/** Says its version to requests, on an event stream, and to whatever is sent on a websocket. */
async function startVersion(version: number): Promise<Backend> {
  const backend = await startBackend((req, res) => {
    if (req.url === '/events') {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => res.write(`data: ${version}\n\n`), 50)
      res.on('close', () => clearInterval(timer))
      return
    }
    req.resume()
    req.on('end', () => setTimeout(() => res.end(String(version)), req.url === '/slow' ? 50 : 0))
  })
  backend.server.on('upgrade', (req, socket: Socket) => {
    const key = `${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
    socket.on('data', (chunk) => socket.write(`${version}:${chunk.toString()}`))
  })
  opened.push(backend)
  return backend
}

/** An upgraded connection; `say` resolves with what comes back. */
async function openWebsocket(name: string): Promise<{ say(word: string): Promise<string>; close(): void }> {
  const socket = connect(proxy.port, '127.0.0.1')
  const next = (): Promise<string> =>
    new Promise((done, fail) => {
      socket.once('data', (chunk) => done(chunk.toString()))
      socket.once('close', () => fail(new Error('the websocket was cut')))
    })
  const key = 'dGhlIHNhbXBsZSBub25jZQ=='
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: ${name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  expect(await next()).toMatch(/^HTTP\/1\.1 101 /)
  return {
    say(word) {
      const answer = next()
      socket.write(word)
      return answer
    },
    close: () => socket.destroy(),
  }
}

function openEvents(name: string): { count(): number; cut(): boolean; close(): void } {
  const socket = connect(proxy.port, '127.0.0.1')
  let count = 0
  let cut = false
  socket.write(`GET /events HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
  socket.on('data', (chunk) => (count += chunk.toString().split('data: ').length - 1))
  socket.on('close', () => (cut = true))
  return { count: () => count, cut: () => cut, close: () => socket.destroy() }
}

it(`${swaps} swaps under load: nothing fails, nothing old after a swap, streams live on`, async () => {
  const first = await startVersion(0)
  const stable = await startVersion(777)
  for (const [id, backend, name] of [
    [1, first, host],
    [2, stable, other],
  ] as const) {
    await proxy.router.defineSet(`r${id}`, [backend.target])
    await proxy.router.swap(`e${id}`, { set: `r${id}`, size: 1 })
    await proxy.router.addHost(name, `e${id}`)
  }
  const oldSocket = await openWebsocket(host)
  const otherSocket = await openWebsocket(other)
  const oldEvents = openEvents(host)
  const otherEvents = openEvents(other)

  let running = true
  let swapped = 0
  let requests = 0
  const wrong: string[] = []
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const load = async (name: string, path: string, method: string, reuse: boolean): Promise<void> => {
    while (running) {
      const atLeast = name === host ? swapped : 777
      try {
        const { status, body } = await ask(proxy.port, name, {
          path,
          method,
          ...(method === 'POST' ? { body: 'x'.repeat(2000) } : {}),
          ...(reuse ? { agent } : {}),
        })
        requests += 1
        if (status !== 200 || Number(body) < atLeast) wrong.push(`${status} ${body.slice(0, 40)}, expected ${atLeast}`)
      } catch (error) {
        wrong.push(String(error))
      }
      await new Promise((done) => setTimeout(done, 10))
    }
  }
  const begun = performance.now()
  const clients = [
    ...Array.from({ length: 4 }, () => load(host, '/', 'GET', true)),
    ...Array.from({ length: 3 }, () => load(host, '/', 'GET', false)),
    load(host, '/', 'POST', true),
    load(host, '/slow', 'GET', true),
    load(other, '/', 'GET', true),
  ]

  let previous = first
  const drained: Promise<unknown>[] = []
  for (let version = 1; version <= swaps; version += 1) {
    const old = previous
    previous = await startVersion(version)
    await proxy.router.defineSet(`r${1000 + version}`, [previous.target])
    await proxy.router.swap('e1', { set: `r${1000 + version}`, size: 1 })
    swapped = version
    if (old === first) continue
    // As a release is retired: when nothing is open any more it ends, and no request may notice.
    const drain = async (): Promise<void> => {
      await new Promise((done) => setTimeout(done, 50))
      await until(async () => (await proxy.router.openConnections(old.target)) === 0, 5_000, 'the drain')
      await proxy.router.removeSet(`r${1000 + version - 1}`)
      await old.close()
    }
    drained.push(drain())
    await new Promise((done) => setTimeout(done, 20))
  }
  await Promise.all(drained)
  running = false
  await Promise.all(clients)
  agent.destroy()
  const seconds = (performance.now() - begun) / 1000

  expect(wrong).toEqual([])
  expect(requests / seconds).toBeGreaterThan(100)
  expect(await oldSocket.say('still')).toBe('0:still')
  expect(await otherSocket.say('there')).toBe('777:there')
  expect(oldEvents.cut() || otherEvents.cut()).toBe(false)
  expect(Math.min(oldEvents.count(), otherEvents.count())).toBeGreaterThan(10)
  // The websocket and the event stream are what is left open to the first version; then nothing.
  expect(await proxy.router.openConnections(first.target)).toBe(2)
  for (const stream of [oldSocket, otherSocket, oldEvents, otherEvents]) stream.close()
  await until(async () => (await proxy.router.openConnections(first.target)) === 0, 2_000, 'the end of the streams')
}, 40_000)
