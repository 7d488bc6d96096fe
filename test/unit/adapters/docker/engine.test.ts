import { mkdtempSync, rmSync } from 'node:fs'
import { type Agent, createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type Engine, engineReason, isNotFound, makeEngine, orNull } from '../../../../src/adapters/docker/engine.ts'
import { SlipwayError } from '../../../../src/kernel/errors.ts'

/** An engine that answers as the path says: /images/404/json, or never. */
describe('a call to the engine', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-engine-'))
  const socketPath = join(folder, 'sock')
  let server: Server
  let engine: Engine
  const ask = (name: string, limits = {}): Promise<unknown> =>
    engine.call('look', (docker) => docker.getImage(name).inspect(), limits)

  beforeAll(async () => {
    server = createServer((request, response) => {
      const status = Number(/^\/images\/(\d+)\/json/.exec(request.url ?? '')?.[1])
      if (status === 0) return
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
    const { agent } = (engine.docker as unknown as { modem: { agent: Agent } }).modem
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

  it('to an engine that hangs ends with its time', async () => {
    const started = performance.now()
    await expect(ask('0', { timeoutMs: 80 })).rejects.toMatchObject({ code: 'timeout' })
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  it('ends with the reason of whoever stops it', async () => {
    const reason = new SlipwayError('cancelled', 'Enough.')
    await expect(ask('0', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
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
