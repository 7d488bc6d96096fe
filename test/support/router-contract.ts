import { beforeEach, describe, expect, it } from '@jest/globals'
import type { Rules, Router, Routes, Target } from '../../src/routing/index.ts'

const target = (n: number): Target => ({ address: `127.0.1.${n}`, port: 4000 + n })
/** The rules of an environment with one password and one range. */
function rulesWith(digit: string, allowed: string): Rules {
  return {
    passwords: [digit.repeat(64)],
    allowed: [allowed],
    limits: { requests: 50, visitorRate: 3, visitorRequests: null },
  }
}

const none: Routes = { hosts: new Map(), keys: new Map(), sets: new Map(), timeouts: new Map(), rules: new Map() }
const some: Routes = {
  hosts: new Map([
    ['test--shop.example.org', 'e1'],
    ['v1--test--shop.example.org', 'r10'],
    ['shop.example.org', 'e2/palmi/2'],
  ]),
  keys: new Map([
    ['e1', { set: 'r10', size: 1 }],
    ['r10', { set: 'r10', size: 1 }],
    ['e2', { state: 'failed' }],
    ['e3', { set: 'r11', size: 3 }],
  ]),
  sets: new Map([
    ['r10', [target(1)]],
    ['r11', [target(2), target(3), target(4)]],
  ]),
  timeouts: new Map([['e1', 5000]]),
  rules: new Map([[2, rulesWith('A', '4CB0071')]]),
}

/** What would be a second command, a second entry or another map if it reached the proxy's socket. */
const injections = [
  '',
  ' ',
  'a b',
  'a\nshow info',
  'a\r\nx',
  'a;show info',
  'a\0',
  '<<',
  '@1',
  '#0x1',
  'a\tb',
  'e1 r9/1\ne2',
  '../x',
  'A.example.org',
  'é.example.org',
  `${'a'.repeat(64)}.org`,
  `${'a.'.repeat(120)}org`,
]

/** What every Router promises. */
export function routerContract(name: string, open: () => Promise<Router>): void {
  describe(`${name} keeps the promises of a Router`, () => {
    let router: Router
    beforeEach(async () => {
      router = await open()
      await router.replaceAll(none)
    })

    it('holds exactly what it is told to hold, also when told twice', async () => {
      await router.replaceAll(some)
      expect(await router.read()).toEqual(some)
      await router.replaceAll(some)
      expect(await router.read()).toEqual(some)
      await router.replaceAll(none)
      expect(await router.read()).toEqual(none)
    })

    it('repairs by difference', async () => {
      await router.replaceAll(some)
      const changed: Routes = {
        ...some,
        hosts: new Map([...some.hosts].slice(1)).set('new.example.org', 'e3'),
        keys: new Map(some.keys).set('e2', { set: 'r11', size: 2 }),
        sets: new Map(some.sets).set('r10', [target(9)]),
        timeouts: new Map(),
      }
      await router.replaceAll(changed)
      expect(await router.read()).toEqual(changed)
    })

    it('adds and removes hosts, safe to repeat', async () => {
      await router.addHost('a.example.org', 'e1')
      await router.addHost('a.example.org', 'e1')
      await router.addHost('a.example.org', 'e2')
      expect((await router.read()).hosts).toEqual(new Map([['a.example.org', 'e2']]))
      await router.removeHost('a.example.org')
      await router.removeHost('a.example.org')
      expect(await router.read()).toEqual(none)
    })

    it('swaps between sets and states', async () => {
      await router.defineSet('r1', [target(1)])
      await router.defineSet('r2', [target(2), target(3)])
      for (const to of [
        { set: 'r1', size: 1 },
        { set: 'r2', size: 2 },
        { set: 'r2', size: 2 },
        { state: 'failed' },
        { set: 'r1', size: 1 },
      ] as const) {
        await router.swap('e1', to)
        expect((await router.read()).keys).toEqual(new Map([['e1', to]]))
      }
    })

    it('refuses to lead anywhere that is not defined', async () => {
      await router.defineSet('r1', [target(1)])
      await router.swap('e1', { set: 'r1', size: 1 })
      await expect(router.swap('e1', { set: 'r2', size: 1 })).rejects.toMatchObject({ code: 'bad_request' })
      await expect(router.swap('e1', { set: 'r1', size: 2 })).rejects.toMatchObject({ code: 'bad_request' })
      const wrong = { ...none, keys: new Map([['e1', { set: 'r7', size: 1 }]]) }
      await expect(router.replaceAll(wrong)).rejects.toMatchObject({ code: 'bad_request' })
      expect((await router.read()).keys).toEqual(new Map([['e1', { set: 'r1', size: 1 }]]))
    })

    it('defines a set anew, smaller or larger', async () => {
      for (const members of [[1], [1, 2, 3], [4, 2], [4]]) {
        await router.defineSet('r1', members.map(target))
        expect((await router.read()).sets).toEqual(new Map([['r1', members.map(target)]]))
      }
    })

    it('removes sets and keys that nothing needs, safe to repeat', async () => {
      await router.defineSet('r1', [target(1), target(2)])
      await router.defineSet('r11', [target(3)])
      await router.swap('e1', { set: 'r1', size: 2 })
      await router.setTimeout('e1', 1000)
      await expect(router.removeSet('r1')).rejects.toMatchObject({ code: 'conflict' })
      expect((await router.read()).sets.get('r1')).toHaveLength(2)
      await router.removeKey('e1')
      await router.removeKey('e1')
      await router.removeSet('r1')
      await router.removeSet('r1')
      expect(await router.read()).toEqual({ ...none, sets: new Map([['r11', [target(3)]]]) })
    })

    it('sets a time-out and takes it back', async () => {
      await router.setTimeout('e1', 1500)
      expect((await router.read()).timeouts).toEqual(new Map([['e1', 1500]]))
      await router.setTimeout('e1', null)
      await router.setTimeout('e1', null)
      expect((await router.read()).timeouts).toEqual(new Map())
      await expect(router.setTimeout('e1', -1)).rejects.toMatchObject({ code: 'bad_request' })
    })

    it('changes the rules of one environment and of no other', async () => {
      await router.setRules(1, rulesWith('B', '40A'))
      await router.setRules(12, rulesWith('C', '40A0'))
      await router.setRules(12, rulesWith('C', '40A0'))
      expect((await router.read()).rules).toEqual(
        new Map([
          [1, rulesWith('B', '40A')],
          [12, rulesWith('C', '40A0')],
        ]),
      )
      // A beginning of another one's beginning, in both orders.
      const nested = { ...rulesWith('D', '40'), passwords: [], limits: null }
      await router.setRules(12, { ...nested, allowed: ['40A', '40A00001', '40A0'] })
      await router.setRules(12, { ...nested, allowed: ['40A0', '40'] })
      await router.setRules(1, null)
      await router.setRules(1, null)
      const { rules } = await router.read()
      expect([...(rules ?? [])].map(([id, { allowed, ...rest }]) => [id, [...allowed].sort(), rest])).toEqual([
        [12, ['40', '40A0'], { passwords: [], limits: null }],
      ])
    })

    it('keeps what is told of a site that is being worked on, whatever it says', async () => {
      const message = 'Back at 14:00: “Ärger” & <b>100 %</b> %[src]/ \\n #1 漢字 😀; show info'
      const worked = { ...rulesWith('B', '40A'), maintenance: { message, allowed: ['40A', '4CB0071'] } }
      await router.setRules(1, worked)
      await router.setRules(11, {
        passwords: [],
        allowed: [],
        limits: null,
        maintenance: { message: 'x', allowed: [] },
      })
      expect((await router.read()).rules?.get(1)).toEqual(worked)
      await router.setRules(1, { ...worked, maintenance: { message: 'soon', allowed: ['40'] } })
      expect((await router.read()).rules?.get(1)?.maintenance).toEqual({ message: 'soon', allowed: ['40'] })
      await router.setRules(1, rulesWith('B', '40A'))
      const { rules } = await router.read()
      expect([rules?.get(1), rules?.get(11)?.maintenance]).toEqual([
        rulesWith('B', '40A'),
        { message: 'x', allowed: [] },
      ])
      for (const odd of ['', 'a\nshow info', 'x\0', 'x'.repeat(10_000)]) {
        const set = router.setRules(2, { ...rulesWith('A', '40'), maintenance: { message: odd, allowed: [] } })
        await expect(set).rejects.toMatchObject({ code: 'bad_request' })
      }
    })

    it('takes no rules of an odd shape', async () => {
      const odd = (change: Partial<Rules>): Promise<void> => router.setRules(1, { ...rulesWith('A', '40'), ...change })
      for (const value of [...injections, 'a'.repeat(64), '7', '4G']) {
        await expect(odd({ passwords: [value] })).rejects.toMatchObject({ code: 'bad_request' })
        await expect(odd({ allowed: [value] })).rejects.toMatchObject({ code: 'bad_request' })
      }
      for (const requests of [0, -1, 1.5, Number.NaN, 10_000_000]) {
        await expect(odd({ limits: { requests, visitorRate: null, visitorRequests: null } })).rejects.toMatchObject({
          code: 'bad_request',
        })
      }
      for (const id of [0, -1, 1.5, Number.NaN]) {
        await expect(router.setRules(id, rulesWith('A', '40'))).rejects.toMatchObject({ code: 'bad_request' })
      }
      for (const entry of [
        'e1/',
        'e1/p',
        'e1//1',
        'e1/x/1',
        'e1/ip/1',
        'e1/ml/1',
        'e1/p/0',
        'e1/p/1/2',
        '/p/1',
        'e1/p/1 x',
      ]) {
        await expect(router.addHost('a.example.org', entry)).rejects.toMatchObject({ code: 'bad_request' })
      }
      expect(await router.read()).toEqual(none)
    })

    it('counts nothing open where nobody asked', async () => {
      expect(await router.openConnections(target(77))).toBe(0)
    })

    it.each(injections)('lets no odd name near the proxy: %j', async (odd) => {
      await router.defineSet('r1', [target(1)])
      const before = await router.read()
      const to = { set: 'r1', size: 1 }
      for (const attempt of [
        () => router.addHost(odd, 'e1'),
        () => router.addHost('a.example.org', odd),
        () => router.removeHost(odd),
        () => router.defineSet(odd, [target(1)]),
        () => router.defineSet('r2', [{ address: odd, port: 1 }]),
        () => router.swap(odd, to),
        () => router.swap('e1', { set: odd, size: 1 }),
        () => router.removeSet(odd),
        () => router.removeKey(odd),
        () => router.setTimeout(odd, 1),
        () => router.openConnections({ address: odd, port: 1 }),
        () => router.replaceAll({ ...none, hosts: new Map([[odd, 'e1']]) }),
        () => router.replaceAll({ ...none, sets: new Map([[odd, [target(1)]]]) }),
      ]) {
        await expect(attempt()).rejects.toMatchObject({ code: 'bad_request' })
      }
      expect(await router.read()).toEqual(before)
    })
  })
}
