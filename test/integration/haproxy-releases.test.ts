import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { chown } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Secret } from '../../src/kernel/secret.ts'
import { passwordHash } from '../../src/routing/index.ts'
import {
  type Answer,
  ask,
  type Backend,
  type Echoed,
  startBackend,
  startEcho,
  startTestProxy,
  type TestProxy,
  until,
} from '../support/proxy.ts'

/* The addresses of releases, by a real HAProxy. */

let proxy: TestProxy
let echo: Backend
let liar: Backend
let slipway: Server
const asked: string[] = []

beforeAll(async () => {
  proxy = await startTestProxy()
  echo = await startEcho('one')
  liar = await startBackend((_req, res) => res.setHeader('X-Slipway-Release', 'v99').end('I am another'))
  await proxy.router.defineSet('d1', [echo.target])
  await proxy.router.defineSet('d2', [echo.target, echo.target])
  await proxy.router.defineSet('d3', [liar.target])
  slipway = createServer((req, res) => {
    asked.push(`${req.method} ${req.headers.host} ${req.headers.authorization ?? '-'}`)
    res.writeHead(410).end('gone')
  })
  const path = join(proxy.dataDir, 'run', 'releases.sock')
  await new Promise<void>((done) => slipway.listen(path, done))
  if (proxy.owner !== null) await chown(path, proxy.owner.uid, proxy.owner.gid)
})
afterAll(async () => {
  slipway.closeAllConnections()
  slipway.close()
  await Promise.all([echo.close(), liar.close()])
  await proxy.remove()
})

const basic = { authorization: `Basic ${Buffer.from('anna:s3cret').toString('base64')}` }

async function protect(environmentId: number): Promise<void> {
  const hash = passwordHash(await proxy.passwordKey(), { user: 'anna', password: new Secret('s3cret') })
  await proxy.router.setRules(environmentId, { passwords: [hash], allowed: [], limits: null })
}

describe('the address of a release that runs', () => {
  it.each([
    ['a set of one', { set: 'd1', size: 1 }, '', {}],
    ['a set of several', { set: 'd2', size: 2 }, '', {}],
    ['a protected one', { set: 'd1', size: 1 }, '/p/7', basic],
    ['an app that names another', { set: 'd3', size: 1 }, '', {}],
  ])('says in its answers which one it is: %s', async (_, to, rules, headers) => {
    await protect(7)
    await proxy.router.swap('r12', to)
    await proxy.router.addHost('v12--test--shop.example.org', `r12${rules}`)
    for (const host of ['v12--test--shop.example.org', 'V12--TEST--shop.example.org:8080']) {
      const answer = await ask(proxy.port, host, { headers: { ...headers, 'X-Slipway-Release': 'v1' } })
      expect({ status: answer.status, release: answer.headers['x-slipway-release'] }).toEqual({
        status: 200,
        release: 'v12',
      })
      if (to.set !== 'd3') expect((JSON.parse(answer.body) as Echoed).headers).not.toHaveProperty('x-slipway-release')
    }
  })

  it('is told by the release alone, not by the proxy’s own answers', async () => {
    await protect(7)
    await proxy.router.swap('r12', { set: 'd1', size: 1 })
    await proxy.router.addHost('v12--test--shop.example.org', 'r12/p/7')
    const answer = await ask(proxy.port, 'v12--test--shop.example.org')
    expect([answer.status, answer.headers['x-slipway-release']]).toEqual([401, undefined])
  })
})

describe('the use of an instance', () => {
  it('is what is open to it, and how long nothing has begun or ended', async () => {
    let finish = (): void => undefined
    const slow = await startBackend((_req, res) => void (finish = () => void res.end('done')))
    await proxy.router.defineSet('d4', [slow.target])
    await proxy.router.swap('r13', { set: 'd4', size: 1 })
    await proxy.router.addHost('v13--test--shop.example.org', 'r13')
    expect(await proxy.router.readUse(slow.target)).toEqual({ open: 0, quietMs: null, asked: 0 })
    const answer = ask(proxy.port, 'v13--test--shop.example.org')
    await until(async () => (await proxy.router.readUse(slow.target)).open === 1, 2_000, 'the request')
    await delay(2_000)
    finish()
    expect((await answer).status).toBe(200)
    // Its end counts, not its beginning.
    const ended = await proxy.router.readUse(slow.target)
    expect([ended.open, (ended.quietMs ?? 9_999) < 1_500]).toEqual([0, true])
    await delay(600)
    const quiet = (await proxy.router.readUse(slow.target)).quietMs ?? 0
    expect(quiet).toBeGreaterThan(500)
    expect(quiet).toBeLessThan(5_000)
    await slow.close()
  })
})

describe('the address of a release that does not run', () => {
  const others = (label: string): string => `v0--${label}.example.org`
  /** All that a visitor can see of an answer. */
  const seen = ({ status, headers, body }: Answer): unknown => {
    const shown = JSON.stringify({ status, headers: { ...headers, date: '' }, body })
    return shown.replace(/realm=\\"[^"]*"/, 'realm')
  }

  it('is answered by Slipway, by one entry for all releases of the environment', async () => {
    await proxy.router.addHost(others('qa--shop'), 'w8')
    const hosts = ['v1--qa--shop', 'v2--qa--shop', 'v123456789012--qa--shop', 'V3--QA--shop', 'v0--qa--shop']
    for (const label of hosts) {
      asked.length = 0
      expect(await ask(proxy.port, `${label}.example.org:80`, { method: 'POST', body: 'x' })).toMatchObject({
        status: 410,
      })
      expect(asked).toEqual([`POST ${label}.example.org:80 -`])
    }
  })

  it.each([
    'v1--other--shop',
    'v--qa--shop',
    'vx--qa--shop',
    'v1-qa--shop',
    'av1--qa--shop',
    'v1--v2--qa--shop',
    'v1--',
  ])('is nothing at all where nobody has said so: %s', async (label) => {
    await proxy.router.addHost(others('qa--shop'), 'w8')
    asked.length = 0
    const unknown = await ask(proxy.port, 'unknown.example.org')
    expect(seen(await ask(proxy.port, `${label}.example.org`))).toEqual(seen(unknown))
    expect([unknown.status, asked]).toEqual([404, []])
  })

  it('asks for the same password as one that runs, and strangers cannot tell them apart', async () => {
    await protect(9)
    await proxy.router.swap('r90', { set: 'd1', size: 1 })
    await proxy.router.addHost('v5--shop.example.org', 'r90/p/9')
    await proxy.router.addHost(others('shop'), 'w9/p/9')
    asked.length = 0
    const wrong = { authorization: `Basic ${Buffer.from('anna:wrong').toString('base64')}` }
    for (const options of [
      {},
      { method: 'POST', body: 'x' },
      { method: 'OPTIONS' },
      { headers: wrong },
      { method: 'HEAD' },
    ]) {
      const running = await ask(proxy.port, 'v5--shop.example.org', options)
      const never = await ask(proxy.port, 'v6--shop.example.org', options)
      expect(running.status).toBe(401)
      expect(seen(never)).toEqual(seen(running))
    }
    expect(asked).toEqual([])
    const welcome = await ask(proxy.port, 'v6--shop.example.org', { headers: basic })
    expect([welcome.status, asked]).toEqual([410, ['GET v6--shop.example.org -']])
  })

  it('counts wrong passwords of a visitor for all addresses of the environment together', async () => {
    await protect(10)
    await proxy.router.addHost(others('tried--shop'), 'w10/p/10')
    const statuses: number[] = []
    for (let i = 1; i <= 23; i += 1) {
      const headers = { authorization: `Basic ${Buffer.from(`anna:${i}`).toString('base64')}` }
      statuses.push((await ask(proxy.port, `v${i}--tried--shop.example.org`, { headers })).status)
    }
    expect([statuses[0], statuses.at(-1)]).toEqual([401, 429])
  })

  it('lets nobody in whose rules are lost', async () => {
    await proxy.router.addHost(others('lost--shop'), 'w11/p/11')
    expect(await ask(proxy.port, 'v1--lost--shop.example.org', { headers: basic })).toMatchObject({ status: 401 })
  })

  it('says that Slipway is restarting while it is', async () => {
    await proxy.router.addHost(others('qa--shop'), 'w8')
    slipway.closeAllConnections()
    await new Promise((done) => slipway.close(done))
    const answer = await ask(proxy.port, 'v1--qa--shop.example.org')
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '5'])
  })
})
