import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { createConnection } from 'node:net'
import WebSocket from 'ws'
import { makeAttachments } from '../../../src/http/attachments.ts'
import { type HttpServer, startHttpServer } from '../../../src/http/server.ts'
import { encodeContent, windowBytes } from '../../../src/kernel/attachment.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import type { AttachedClient } from '../../../src/runtime/index.ts'

const id = '0123456789abcdef'
const token = { authorization: 'Bearer right' }

/** The door for connections to commands, with a command that does what the test says. */
describe('a connection to a command', () => {
  let server: HttpServer
  let work: (client: AttachedClient) => Promise<void>
  const open: WebSocket[] = []

  beforeEach(async () => {
    work = async (client) => client.end()
    const upgrades = makeAttachments({
      accounts: {
        authenticate: async (given) => (given.reveal() === 'right' ? { name: 'ada', role: 'admin' } : null),
        setAdminToken: async () => undefined,
      },
      runs: { appOf: (one) => (one === id ? 'shop' : null), connect: async (_id, client) => work(client) },
      logger: silentLogger,
      pingMs: 50,
    })
    server = await startHttpServer((_req, res) => res.end('plain'), { host: '127.0.0.1', port: 0 }, upgrades)
  })
  afterEach(async () => {
    for (const socket of open.splice(0)) socket.terminate()
    await server.close(100)
  })

  const connect = (
    headers: Record<string, string>,
    { path = `/api/v1/runs/${id}/attachment`, ...options }: WebSocket.ClientOptions & { path?: string } = {},
  ): WebSocket => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers, ...options })
    open.push(socket)
    socket.on('error', () => undefined)
    return socket
  }
  const answerTo = (socket: WebSocket): Promise<number> =>
    new Promise((resolve) => {
      socket.once('open', () => resolve(101))
      socket.once('unexpected-response', (_req, res) => resolve(res.statusCode ?? 0))
    })
  const endOf = (socket: WebSocket): Promise<number> => new Promise((resolve) => socket.once('close', resolve))

  it('needs a token, a run, and no browser', async () => {
    expect(await answerTo(connect({}))).toBe(401)
    expect(await answerTo(connect({ authorization: 'Bearer wrong' }))).toBe(401)
    expect(await answerTo(connect({ ...token, origin: 'http://evil.example' }))).toBe(403)
    expect(await answerTo(connect(token, { path: `/api/v1/runs/${'f'.repeat(16)}/attachment` }))).toBe(404)
    // What is no such address is answered as if nothing had been asked for.
    expect(await answerTo(connect(token, { path: '/api/v1/apps' }))).toBe(200)
    expect(await answerTo(connect(token))).toBe(101)
  })

  it('may break while it is refused: nothing else does, and nothing of it is left', async () => {
    const head = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Authorization: Bearer wrong', '', '']
    const request = [`GET /api/v1/runs/${id}/attachment HTTP/1.1`, ...head].join('\r\n')
    for (let round = 0; round < 100; round += 1) {
      const socket = createConnection({ host: '127.0.0.1', port: server.port ?? 0, allowHalfOpen: true })
      socket.on('error', () => undefined)
      await new Promise<void>((resolve) => socket.write(request, () => resolve()))
      if (round % 4 === 0) continue
      await new Promise((resolve) => (round % 4 === 1 ? setImmediate(resolve) : setTimeout(resolve, round % 4)))
      socket.resetAndDestroy()
    }
    expect(await answerTo(connect(token))).toBe(101)
    for (const socket of open.splice(0)) socket.terminate()
    // Those that have never closed their side are gone, too.
    const begunMs = Date.now()
    await server.close(30_000)
    expect(Date.now() - begunMs).toBeLessThan(20_000)
  })

  it('ends when more comes than there is room for, and lets signals pass input that nobody takes', async () => {
    const signals: string[] = []
    let took = 0
    work = async (client) => {
      client.listen({
        input: (content) => {
          took += content.length
          return new Promise(() => undefined)
        },
        endInput: () => undefined,
        resize: async () => undefined,
        signal: async (name) => void signals.push(name),
      })
      await new Promise((resolve) => client.gone.addEventListener('abort', resolve))
    }
    const socket = connect(token)
    await answerTo(socket)
    const chunk = encodeContent('stdin', Buffer.alloc(32 * 1024))
    for (let sent = 0; sent < windowBytes; sent += 32 * 1024) socket.send(chunk)
    socket.send('{"type":"signal","name":"SIGINT"}')
    while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(took).toBe(32 * 1024)
    socket.send(chunk)
    expect(await endOf(socket)).toBe(1008)
  })

  it('hands many small pieces on as few, in order, and then the end, once', async () => {
    const came: string[] = []
    let go = (): void => undefined
    const held = new Promise<void>((resolve) => (go = resolve))
    let ends = 0
    work = async (client) => {
      client.listen({
        input: async (content) => {
          came.push(content.toString())
          await held
        },
        endInput: () => (ends += 1),
        resize: async () => undefined,
        signal: async () => undefined,
      })
      await new Promise((resolve) => client.gone.addEventListener('abort', resolve))
    }
    const socket = connect(token)
    await answerTo(socket)
    const letters = Array.from({ length: 40_000 }, (_, i) => String.fromCharCode(97 + (i % 26)))
    for (const letter of letters) socket.send(encodeContent('stdin', Buffer.from(letter)))
    for (let i = 0; i < 1_000; i += 1) socket.send(encodeContent('stdin', Buffer.alloc(0)))
    for (let i = 0; i < 100; i += 1) socket.send('{"type":"end"}')
    await new Promise((resolve) => {
      socket.once('pong', resolve)
      socket.ping()
    })
    expect([came, ends]).toEqual([['a'], 0])
    go()
    while (ends === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(came.join('')).toBe(letters.join(''))
    expect(came.length).toBeLessThan(8)
    expect(ends).toBe(1)
  }, 30_000)

  it('asks the engine for one signal and one size at a time, and ends with who sends more than anybody presses', async () => {
    const asked: string[] = []
    let go = (): void => undefined
    const held = new Promise<void>((resolve) => (go = resolve))
    work = async (client) => {
      client.listen({
        input: async () => undefined,
        endInput: () => undefined,
        async resize({ columns }) {
          asked.push(`${columns}`)
          await held
        },
        async signal(name) {
          asked.push(name)
          await held
        },
      })
      await new Promise((resolve) => client.gone.addEventListener('abort', resolve))
    }
    const socket = connect(token)
    await answerTo(socket)
    for (let columns = 1; columns <= 1_000; columns += 1)
      socket.send(JSON.stringify({ type: 'size', columns, rows: 24 }))
    for (const name of ['SIGINT', 'SIGTERM']) socket.send(JSON.stringify({ type: 'signal', name }))
    await new Promise((resolve) => {
      socket.once('pong', resolve)
      socket.ping()
    })
    expect(asked).toEqual(['1', 'SIGINT'])
    go()
    while (asked.length < 4) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(asked.sort()).toEqual(['1', '1000', 'SIGINT', 'SIGTERM'])
    const ended = endOf(socket)
    for (let i = 0; i < 200; i += 1) socket.send('{"type":"signal","name":"SIGINT"}')
    expect(await ended).toBe(1006)
  })

  it('ends with who pings and reads no answers', async () => {
    const socket = connect(token)
    work = (client) => new Promise((done) => client.gone.addEventListener('abort', () => done()))
    await answerTo(socket)
    const ended = endOf(socket)
    socket.pause()
    let floods = true
    const timer = setInterval(() => {
      for (let i = 0; floods && i < 200 && socket.bufferedAmount < 100_000; i += 1) socket.ping(Buffer.alloc(125))
      // As if it had read the server's.
      socket.pong()
    }, 5)
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    floods = false
    socket.resume()
    const stays = new Promise<string>((resolve) => setTimeout(() => resolve('it stays'), 1_000))
    const end = await Promise.race([ended, stays])
    clearInterval(timer)
    expect(end).toBe(1006)
  }, 30_000)

  it('sends no more than there is room for to one who does not read, and all of it to one who does', async () => {
    let sent = 0
    work = async (client) => {
      for (; sent < 3 * windowBytes; sent += 64 * 1024) await client.send('stdout', Buffer.alloc(64 * 1024))
      client.end()
    }
    const socket = connect(token)
    let came = 0
    socket.on('message', (data: Buffer) => (came += data.length - 1))
    await answerTo(socket)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect([sent, came]).toEqual([windowBytes, windowBytes])
    const ended = endOf(socket)
    for (const wanted of [2, 3]) {
      socket.send(JSON.stringify({ type: 'more', bytes: windowBytes }))
      while (came < wanted * windowBytes) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(await ended).toBe(1000)
    expect(came).toBe(3 * windowBytes)
  })

  it('is over for whoever answers no ping', async () => {
    const gone = new Promise<unknown>((resolve) => {
      work = (client) =>
        new Promise((done) =>
          client.gone.addEventListener('abort', () => {
            resolve(client.gone.reason)
            done()
          }),
        )
    })
    const socket = connect(token, { autoPong: false })
    const ended = endOf(socket)
    expect(await gone).toMatchObject({ code: 'cancelled' })
    expect(await ended).toBe(1006)
  })
})
