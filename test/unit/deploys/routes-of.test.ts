import { describe, expect, it } from '@jest/globals'
import type { Route } from '../../../src/deploys/instances.ts'
import { type Member, routesOf } from '../../../src/deploys/routes-of.ts'
import { makeAddresses, type Routes } from '../../../src/routing/index.ts'
import { makeFakeRouter } from '../../support/fake-router.ts'
import { leadTo } from '../../../src/deploys/lead-routes.ts'

const hosts = makeAddresses({ domain: 'localhost', httpPort: 8080 })
const down = new Date(0)

const route = (fields: Partial<Route> = {}): Route => {
  return { environmentId: 7, label: 'test--shop', live: false, releaseId: 12, releaseNumber: 3, deployId: 5, ...fields }
}
const member = (position: number, fields: Partial<Member> = {}): Member => ({
  environmentId: 7,
  releaseId: 12,
  releaseNumber: 3,
  deployId: 5,
  process: 'web',
  position,
  address: `10.0.0.${position}`,
  port: 8080,
  state: 'serving',
  downSince: null,
  warmLeftMs: 0,
  ...fields,
})
const at = (...positions: number[]) => positions.map((n) => ({ address: `10.0.0.${n}`, port: 8080 }))
const wants = (instances: readonly Member[], routes: readonly Route[] = [route()]): Routes =>
  routesOf({ routes, instances, exposures: new Map(), hosts })

describe('where requests are led', () => {
  it('the address of a release that is warm leads to it, and that of one whose instances serve for another', () => {
    const before = { releaseId: 11, releaseNumber: 2, deployId: 4, state: 'draining' as const }
    const warm = wants([member(1), member(2, { ...before, warmLeftMs: 1 })])
    expect(warm.hosts.get('v2--test--shop.localhost')).toBe('r11')
    expect(warm.keys.get('r11')).toEqual({ set: 'd4', size: 1 })
    const cold = wants([member(1), member(2, { ...before, warmLeftMs: 0 })])
    expect(cold.hosts.get('v2--test--shop.localhost')).toBeUndefined()
    expect(cold.sets.get('d4')).toEqual(at(2))

    const again = wants([member(1)], [route({ startedFor: { releaseId: 10, number: 1 } })])
    expect(again.hosts.get('v1--test--shop.localhost')).toBe('r10')
    expect(again.keys.get('r10')).toEqual({ set: 'd5', size: 1 })
  })

  it('an environment and its release have one host and one key each; a live one’s release has none', () => {
    const { hosts: names, keys, sets } = wants([member(1)])
    expect([...names]).toEqual([
      ['test--shop.localhost', 'e7'],
      ['v0--test--shop.localhost', 'w7'],
      ['v3--test--shop.localhost', 'r12'],
    ])
    expect([...keys]).toEqual([
      ['e7', { set: 'd5', size: 1 }],
      ['r12', { set: 'd5', size: 1 }],
    ])
    expect([...sets]).toEqual([['d5', at(1)]])
    const live = wants([member(1)], [route({ live: true, label: 'shop' })])
    expect([...live.hosts]).toEqual([['shop.localhost', 'e7/i/7']])
    expect([...live.keys.keys()]).toEqual(['e7'])
  })

  it.each([
    ['all are up', [], at(1, 2, 3), 3],
    ['the first is down', [1], at(2, 3, 2), 2],
    ['the one in the middle is down', [2], at(1, 3, 1), 2],
    ['two are down', [1, 2], at(3, 3, 3), 1],
  ])('of a set of three %s', (_, downs, members, size) => {
    const { sets, keys } = wants([1, 2, 3].map((n) => member(n, downs.includes(n) ? { downSince: down } : {})))
    expect(sets.get('d5')).toEqual(members)
    expect(keys.get('e7')).toEqual({ set: 'd5', size })
  })

  it('of a set that is down as a whole, and of a release without instances, there is the page that says so', () => {
    const all = wants([member(1, { downSince: down }), member(2, { downSince: down })])
    expect(all.sets.get('d5')).toEqual(at(1, 2))
    expect([...all.keys.values()]).toEqual([{ state: 'failed' }, { state: 'failed' }])
    expect(wants([]).keys.get('e7')).toEqual({ state: 'failed' })
    expect(wants([]).sets.size).toBe(0)
  })

  it('workers are led to by nothing', () => {
    const { sets, keys } = wants([member(1), member(2, { process: 'worker' })])
    expect([...sets]).toEqual([['d5', at(1)]])
    expect(keys.get('e7')).toEqual({ set: 'd5', size: 1 })
    expect(wants([member(2, { process: 'worker' })]).keys.get('e7')).toEqual({ state: 'failed' })
  })

  it('a release that was started again beside itself has two sets, and its address leads to the one that serves', () => {
    const again = [member(1, { state: 'draining' }), member(2, { deployId: 6 })]
    const { sets, keys } = wants(again, [route({ deployId: 6 })])
    expect([...sets]).toEqual([
      ['d5', at(1)],
      ['d6', at(2)],
    ])
    expect([...keys]).toEqual([
      ['e7', { set: 'd6', size: 1 }],
      ['r12', { set: 'd6', size: 1 }],
    ])
  })

  it('those that start, are retired or have no address are led to by nothing; those that drain keep their set', () => {
    const others = [
      member(2, { state: 'starting' }),
      member(3, { state: 'retired' }),
      member(4, { address: null }),
      member(5, { deployId: 4, state: 'draining', downSince: down }),
    ]
    const { sets, keys } = wants([member(1), ...others])
    expect([...sets]).toEqual([
      ['d5', at(1)],
      ['d4', at(5)],
    ])
    expect(keys.get('e7')).toEqual({ set: 'd5', size: 1 })
  })
})

/** Where a request may end in this moment: every place that counts must be there, and up or just gone down. */
function reachable(routes: Routes, key: string): string[] {
  const to = routes.keys.get(key)
  if (to === undefined || 'state' in to) return []
  const members = routes.sets.get(to.set) ?? []
  return Array.from({ length: to.size }, (_, place) => members[place]?.address ?? 'nowhere')
}

describe('a change of a set', () => {
  it('never leads to an empty place, nor to one that is down when another is up, at any of its steps', async () => {
    const combinations = Array.from({ length: 8 }, (_, bits) => [1, 2, 3].filter((n) => (bits >> (n - 1)) & 1))
    const world = (downs: readonly number[]): Member[] =>
      [1, 2, 3].map((n) => member(n, downs.includes(n) ? { downSince: down } : {}))
    for (const before of combinations) {
      for (const after of combinations) {
        const router = makeFakeRouter()
        await router.replaceAll(wants(world(before)))
        const steps: Routes[] = []
        const recording = {
          ...router,
          defineSet: async (...args: Parameters<typeof router.defineSet>) => {
            // The real one writes place by place.
            const [id, targets] = args
            const members = [...((await router.read()).sets.get(id) ?? [])]
            for (const [place, target] of targets.entries()) {
              members[place] = target
              await router.defineSet(id, [...members])
              steps.push(await router.read())
            }
          },
          swap: async (...args: Parameters<typeof router.swap>) => {
            await router.swap(...args)
            steps.push(await router.read())
          },
        }
        await leadTo({ router: recording, addresses: hosts }, route(), world(after), new Map())
        const last = steps.at(-1) as Routes
        expect(last).toMatchObject({ keys: wants(world(after)).keys, sets: wants(world(after)).sets })
        for (const step of steps) {
          const places = reachable(step, 'e7')
          expect(places).not.toContain('nowhere')
          // Those that were led to before may still be, until the last step.
          const known = new Set([...reachable(wants(world(before)), 'e7'), ...reachable(last, 'e7')])
          for (const place of places) if (before.length < 3 && after.length < 3) expect(known).toContain(place)
        }
      }
    }
  })
})
