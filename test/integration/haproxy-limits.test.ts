import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { request } from 'node:http'
import type { Limits } from '../../src/routing/index.ts'
import {
  type Answer,
  ask,
  type Ask,
  type Backend,
  startBackend,
  startTestProxy,
  type TestProxy,
  until,
} from '../support/proxy.ts'

/* What one environment or one visitor may take, by a real HAProxy. Each test has an environment of its own. */

let proxy: TestProxy
let slow: Backend
/** Requests that the instance holds open; each call lets one of them go. */
let open: (() => void)[] = []
let last = 100
let id = 0
let host = ''

beforeAll(async () => {
  proxy = await startTestProxy({ trustedProxies: ['127.0.0.2/32'] })
})
afterAll(() => proxy.remove())
beforeEach(async () => {
  open = []
  slow = await startBackend((req, res) => {
    if (req.url === '/quick') res.end('quick')
    else open.push(() => res.end('slow'))
  })
  id = last += 1
  host = `test--shop${id}.example.org`
  await proxy.router.defineSet(`r${id}`, [slow.target])
  await proxy.router.swap(`e${id}`, { set: `r${id}`, size: 1 })
})
afterEach(() => slow.close())

const limit = async (limits: Partial<Limits>): Promise<void> => {
  const all = { requests: null, visitorRate: null, visitorRequests: null, ...limits }
  await proxy.router.setRules(id, { passwords: [], allowed: [], limits: all })
  await proxy.router.addHost(host, `e${id}/l/${id}`)
}
const from = (address: string): Ask => ({ headers: { 'x-forwarded-for': address }, localAddress: '127.0.0.2' })
const askMany = (count: number, options: Ask = {}): Promise<Answer>[] =>
  Array.from({ length: count }, () => ask(proxy.port, host, options))
const whenOpen = (count: number): Promise<number> => until(() => open.length === count, 2_000, `${count} open requests`)
const finish = (count: number): void => open.splice(0, count).forEach((end) => end())
const statuses = async (answers: Promise<Answer>[]): Promise<number[]> =>
  (await Promise.all(answers)).map(({ status }) => status)

describe('open requests at an instance', () => {
  it('wait for a moment when there are too many, in their order, and are answered as others end', async () => {
    await limit({ requests: 3 })
    const first = askMany(3)
    await whenOpen(3)
    const waiting = askMany(4)
    await new Promise((done) => setTimeout(done, 300))
    expect(open.length).toBe(3)
    finish(2)
    await whenOpen(3)
    finish(3)
    await whenOpen(2)
    finish(2)
    expect(await statuses([...first, ...waiting])).toEqual(Array.from({ length: 7 }, () => 200))
  })

  it('are refused after three seconds with a page and Retry-After; other environments are not', async () => {
    await limit({ requests: 2 })
    const first = askMany(2)
    await whenOpen(2)
    const begun = performance.now()
    const [refused] = await Promise.all(askMany(1))
    expect(performance.now() - begun).toBeGreaterThan(2_500)
    expect([refused?.status, refused?.headers['retry-after']]).toEqual([503, '5'])
    expect(refused?.body).toContain('too much to do')
    await proxy.router.addHost(`other${id}.example.org`, `e${id + 1000}`)
    await proxy.router.swap(`e${id + 1000}`, { set: `r${id}`, size: 1 })
    finish(2)
    expect(await statuses(first)).toEqual([200, 200])
    expect(await statuses(askMany(1, { path: '/quick' }))).toEqual([200])
  }, 20_000)

  it('more than a hundred are not held at all', async () => {
    await limit({ requests: 1 })
    const first = askMany(1)
    await whenOpen(1)
    const codes: number[] = []
    const many = askMany(130).map(async (answer) => {
      const { status } = await answer
      codes.push(status)
    })
    await until(() => codes.length >= 30, 2_500, 'the refused ones')
    // Two of its threads may each take one for the last place.
    expect(codes.length).toBeLessThanOrEqual(32)
    expect(new Set(codes)).toEqual(new Set([503]))
    expect(open.length).toBe(1)
    // The others give up in the line.
    await Promise.all(many)
    expect(open.length).toBe(1)
    finish(1)
    expect(await statuses(first)).toEqual([200])
  }, 20_000)

  it('that were given up by their clients leave their place in the line', async () => {
    await limit({ requests: 1 })
    const first = askMany(1)
    await whenOpen(1)
    const left = Array.from({ length: 5 }, () =>
      request({ host: '127.0.0.1', port: proxy.port, headers: { host } }).on('error', () => undefined),
    )
    for (const one of left) one.end()
    await new Promise((done) => setTimeout(done, 200))
    for (const one of left) one.destroy()
    await new Promise((done) => setTimeout(done, 200))
    expect(open.length).toBe(1)
    const patient = askMany(1)
    await new Promise((done) => setTimeout(done, 500))
    finish(1)
    await whenOpen(1)
    finish(1)
    expect(await statuses([...first, ...patient])).toEqual([200, 200])
  })

  it('are bound for all, at a number that is far away', async () => {
    await proxy.router.addHost(host, `e${id}`)
    const many = askMany(300)
    await until(() => open.length === 300, 5_000, 'all of them')
    finish(300)
    expect(new Set(await statuses(many))).toEqual(new Set([200]))
  }, 20_000)
})

describe('a visitor', () => {
  it('may ask at a rate over ten seconds, and is told when to come again', async () => {
    await limit({ visitorRate: 1 })
    const codes: number[] = []
    for (let i = 0; i < 12; i += 1) codes.push(...(await statuses(askMany(1, { path: '/quick' }))))
    expect(codes).toEqual([...Array.from({ length: 10 }, () => 200), 429, 429])
    expect((await ask(proxy.port, host, { path: '/quick' })).headers['retry-after']).toMatch(/^\d+$/)
    expect(await statuses(askMany(1, { path: '/quick', ...from('203.0.113.5') }))).toEqual([200])
  })

  it('may have so many open requests, and others may have as many', async () => {
    await limit({ visitorRequests: 2 })
    const first = askMany(2)
    await whenOpen(2)
    expect(await statuses(askMany(1))).toEqual([429])
    const others = askMany(2, from('2001:db8:1:2::7'))
    await whenOpen(4)
    // The same /64.
    expect(await statuses(askMany(1, from('2001:db8:1:2:ffff::1')))).toEqual([429])
    finish(4)
    expect(await statuses([...first, ...others])).toEqual([200, 200, 200, 200])
    expect(await statuses(askMany(1, { path: '/quick' }))).toEqual([200])
  })
})
