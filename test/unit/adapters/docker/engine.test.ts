import { mkdtempSync, rmSync } from 'node:fs'
import { type Agent, createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type Docker from 'dockerode'
import { type Engine, engineReason, isNotFound, makeEngine, orNull } from '../../../../src/adapters/docker/engine.ts'
import { isAway, SlipwayError } from '../../../../src/kernel/errors.ts'

/** An engine that answers as the path says: /images/404/json, the half of an answer, or never. */
describe('a call to the engine', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-engine-'))
  const socketPath = join(folder, 'sock')
  let server: Server
  let engine: Engine
  let streamsBegin = false
  const ask = (name: string, limits = {}): Promise<unknown> =>
    engine.call('look', (docker) => docker.getImage(name).inspect(), limits)

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (streamsBegin && request.url?.startsWith('/events') === true) return void response.writeHead(200).write('{}\n')
      if (request.url === '/images/half/json') return void response.writeHead(200).write('{"Id":')
      const status = Number(/^\/images\/(\d+)\/json/.exec(request.url ?? '')?.[1])
      // NaN: everything else hangs too.
      if (!(status > 0)) return
      if (status === 1) return void response.destroy()
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(status === 200 ? { Id: 'x' } : { message: `words of ${status}` }))
    })
    await new Promise<void>((resolve) => server.listen(socketPath, resolve))
    engine = makeEngine({ socketPath })
  })
  afterAll(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })

  it('is as quick with many open: its client writes its agent into a text at each call', async () => {
    const open = Array.from({ length: 5 }, () => ask('0', { timeoutMs: 300 }).catch(() => undefined))
    await new Promise((resolve) => setTimeout(resolve, 100))
    const modem = await engine.call('agent', async (docker) => docker.modem as unknown as { agent: Agent })
    const { agent } = modem
    expect(Object.values(agent.sockets).flat().length).toBe(5)
    expect(inspect(agent, { showHidden: true, depth: null }).length).toBeLessThan(100)
    await Promise.all(open)
  })

  it('answers', async () => {
    expect(await ask('200')).toEqual({ Id: 'x' })
  })

  it.each([
    ['404', 'not_found'],
    ['409', 'conflict'],
    ['500', 'internal'],
  ])('that is answered with %s is %s, with the engine’s words', async (name, code) => {
    const error: unknown = await ask(name).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, message: expect.stringContaining(`words of ${name}`) })
    expect(engineReason(error)).toBe(`words of ${name}`)
    expect(isNotFound(error)).toBe(name === '404')
  })

  it('tells "there is none" from "it does not answer"', async () => {
    expect(await orNull(ask('404'))).toBeNull()
    await expect(orNull(ask('1'))).rejects.toMatchObject({ code: 'unavailable' })
    const nowhere = makeEngine({ socketPath: join(folder, 'nothing') })
    await expect(nowhere.call('x', (docker) => docker.ping())).rejects.toMatchObject({ code: 'unavailable' })
  })

  const openConnections = (): Promise<number> =>
    new Promise((resolve, reject) =>
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    )
  const untilClosed = async (): Promise<void> => {
    for (let i = 0; (await openConnections()) > 0; i++) {
      if (i === 100) throw new Error(`${await openConnections()} connections stayed open`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  it('to an engine that hangs ends with its time, says what it was and how long, and closes its connection', async () => {
    const started = performance.now()
    const error: unknown = await ask('0', { timeoutMs: 80 }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'timeout', message: 'The Docker engine (look) did not answer within 0.08 s.' })
    expect(isAway(error)).toBe(true)
    expect(performance.now() - started).toBeLessThan(10_000)
    await untilClosed()
  })

  it.each([
    ['a removal', (docker: Docker) => docker.getNetwork('0').remove()],
    ['a creation', (docker: Docker) => docker.createNetwork({ Name: '0' })],
    ['a list', (docker: Docker) => docker.listImages()],
    ['the beginning of a stream', (docker: Docker) => docker.getEvents()],
    ['a command', (docker: Docker) => docker.getExec('0').start({ hijack: true, stdin: false })],
    ['the answer’s rest', (docker: Docker) => docker.getImage('half').inspect()],
  ])('that hangs closes its connection: %s', async (_, work) => {
    const asked = engine.call('x', (docker) => work(docker) as Promise<unknown>, { timeoutMs: 80 })
    await expect(asked).rejects.toMatchObject({ code: 'timeout' })
    await untilClosed()
  })

  it('ends with the reason of whoever stops it, and closes its connection', async () => {
    const reason = new SlipwayError('cancelled', 'Enough.')
    await expect(ask('0', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const stop = new AbortController()
    const asked = ask('0', { signal: stop.signal })
    setTimeout(() => stop.abort(reason), 50)
    await expect(asked).rejects.toBe(reason)
    await untilClosed()
  })

  it.each([
    ['dockerode', (of: Engine, signal: AbortSignal) => of.call('events', (docker) => docker.getEvents(), { signal })],
    ['without it', (of: Engine, signal: AbortSignal) => of.stream('events', '/events?', signal)],
  ])('gives a stream that its time does not end, and the signal does: %s', async (_, open) => {
    streamsBegin = true
    try {
      const stop = new AbortController()
      const impatient = makeEngine({ socketPath, timeoutMs: 60 })
      const stream = (await open(impatient, stop.signal)) as Readable
      stream.resume()
      let failure: unknown = null
      stream.on('error', (error) => (failure = error))
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(stream.destroyed).toBe(false)
      stop.abort(new SlipwayError('cancelled', 'Enough.'))
      await untilClosed()
      expect(failure).toMatchObject({ message: 'Enough.' })
    } finally {
      streamsBegin = false
    }
  })

  it('is all there is: what was kept of it asks nothing afterwards', async () => {
    const kept = await engine.call('look', async (docker) => docker.getImage('200'))
    await expect(kept.inspect()).rejects.toMatchObject({ code: 'internal' })
  })

  it('goes to the given engine whatever DOCKER_HOST says', async () => {
    const before = process.env['DOCKER_HOST']
    process.env['DOCKER_HOST'] = 'tcp://127.0.0.1:1'
    try {
      const own = makeEngine({ socketPath })
      expect(await own.call('look', (docker) => docker.getImage('200').inspect())).toEqual({ Id: 'x' })
    } finally {
      if (before === undefined) delete process.env['DOCKER_HOST']
      else process.env['DOCKER_HOST'] = before
    }
  })
})
