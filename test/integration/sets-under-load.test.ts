import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { Agent } from 'node:http'
import type { Route } from '../../src/deploys/instances.ts'
import { leadTo } from '../../src/deploys/lead-routes.ts'
import { type Member, routesOf } from '../../src/deploys/routes-of.ts'
import { makeAddresses } from '../../src/routing/index.ts'
import { ask, type Backend, startBackend, startTestProxy, type TestProxy } from '../support/proxy.ts'

/** Sets of several on the real proxy: instances leave and come back while requests never cease. */

const hosts = makeAddresses({ domain: 'example.org', httpPort: 8080 })
const route: Route = {
  environmentId: 7,
  label: 'test--shop',
  live: false,
  releaseId: 12,
  releaseNumber: 3,
  deployId: 5,
}
const host = 'test--shop.example.org'
const downSince = new Date(0)
let proxy: TestProxy
let backends: Backend[]

beforeAll(async () => {
  proxy = await startTestProxy()
  backends = await Promise.all(['1', '2', '3'].map((name) => startBackend((req, res) => (req.resume(), res.end(name)))))
  await proxy.router.replaceAll(
    routesOf({ routes: [route], instances: membersOf([1, 2, 3]), exposures: new Map(), hosts }),
  )
})
afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.close()))
  await proxy.remove()
})

const membersOf = (up: readonly number[]): Member[] =>
  backends.map(({ target }, at) => ({
    ...target,
    ...route,
    process: 'web',
    warmLeftMs: 0,
    position: at + 1,
    state: 'serving',
    downSince: up.includes(at + 1) ? null : downSince,
  }))

/** All that are not empty, each after each, so that sets shrink and grow by one and by two, at every place. */
const subsets = [[1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3]]
const walk = subsets.flatMap((from) => subsets.flatMap((to) => [from, to]))

it('no request fails while instances leave and come back, and those that are out get none', async () => {
  const bad: string[] = []
  let asked = 0
  let over = false
  const load = Array.from({ length: 4 }, async (_, lane) => {
    const agent = new Agent({ keepAlive: lane % 2 === 0, maxSockets: 1 })
    while (!over) {
      const { status, body } = await ask(proxy.port, host, { agent })
      asked += 1
      if (status !== 200) bad.push(`${status} ${body.slice(0, 80)}`)
    }
    agent.destroy()
  })
  for (const up of walk) {
    await leadTo({ router: proxy.router, addresses: hosts }, route, membersOf(up), new Map())
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(proxy.port, host)))
    const strangers = answers.filter(({ body }) => !up.includes(Number(body)))
    expect({ up, strangers: strangers.map(({ body }) => body) }).toEqual({ up, strangers: [] })
  }
  over = true
  await Promise.all(load)
  expect(bad).toEqual([])
  expect(asked).toBeGreaterThan(walk.length)
})

it('each of those that are up gets its share', async () => {
  for (const up of subsets) {
    await leadTo({ router: proxy.router, addresses: hosts }, route, membersOf(up), new Map())
    const answers = await Promise.all(Array.from({ length: 90 }, () => ask(proxy.port, host)))
    const counts = up.map((n) => answers.filter(({ body }) => body === String(n)).length)
    // Five standard deviations and more below the fair share.
    expect(Math.min(...counts)).toBeGreaterThan(90 / up.length / 4)
  }
})

it('of a set that is down as a whole there is the page that says so, and one that is back takes all', async () => {
  const addresses = hosts
  await leadTo({ router: proxy.router, addresses }, route, membersOf([]), new Map())
  expect((await ask(proxy.port, host)).status).toBe(503)
  await leadTo({ router: proxy.router, addresses }, route, membersOf([2]), new Map())
  expect((await ask(proxy.port, host)).body).toBe('2')
  expect(await proxy.router.damages()).toEqual([])
})

it('requests are spread evenly: of 300 each of three gets its share, however many others ask meanwhile', async () => {
  await proxy.router.replaceAll(
    routesOf({ routes: [route], instances: membersOf([1, 2, 3]), exposures: new Map(), hosts }),
  )
  const counts = new Map<string, number>()
  const one = async (): Promise<void> => {
    const { body } = await ask(proxy.port, host)
    counts.set(body, (counts.get(body) ?? 0) + 1)
  }
  const lane = async (): Promise<void> => {
    for (let asked = 0; asked < 75; asked += 1) await one()
  }
  await Promise.all([lane(), lane(), lane(), lane()])
  expect([...counts.keys()].sort()).toEqual(['1', '2', '3'])
  // By chance one of them would be off by a fifth in one run of twenty.
  for (const count of counts.values()) expect(Math.abs(count - 100)).toBeLessThanOrEqual(5)
})
