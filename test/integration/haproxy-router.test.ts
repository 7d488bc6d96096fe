import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeProxySocket } from '../../src/adapters/haproxy/socket.ts'
import type { Target } from '../../src/routing/index.ts'
import { ask, startEcho, startTestProxy, tellProxy, type TestProxy } from '../support/proxy.ts'
import { routerContract } from '../support/router-contract.ts'

let proxy: TestProxy
beforeAll(async () => {
  proxy = await startTestProxy()
})
afterAll(() => proxy.remove())

routerContract('HAProxy', async () => proxy.router)

/** Which backend answered; empty when none did. */
function nameIn(body: string): string {
  return /"name":"(\w+)"/.exec(body)?.[1] ?? ''
}

describe('the maps of a running HAProxy', () => {
  it('has in its files what it has in memory', async () => {
    await proxy.router.defineSet('r1', [{ address: '127.0.0.1', port: 1 }])
    await proxy.router.swap('e1', { set: 'r1', size: 1 })
    await proxy.router.addHost('a.example.org', 'e1')
    const text = await Promise.all(
      ['hosts', 'routes', 'targets'].map((map) => readFile(join(proxy.dataDir, 'proxy/maps', `${map}.map`), 'utf8')),
    )
    expect(text.map((file) => file.split('\n').slice(1).join(';'))).toEqual([
      'a.example.org e1;',
      'e1 r1/1;',
      'r1/1 127.0.0.1:1;',
    ])
  })

  it('changes the short way with everything that it is derived from', async () => {
    const backends = await Promise.all(['one', 'two'].map(startEcho))
    const [one, two] = backends.map(({ target }) => target) as [Target, Target]
    const { router } = proxy
    const names = async (...hosts: string[]): Promise<string[]> =>
      Promise.all(hosts.map(async (host) => nameIn((await ask(proxy.port, host)).body)))
    await router.defineSet('r21', [one])
    await router.defineSet('r22', [two])
    await router.swap('e21', { set: 'r21', size: 1 })
    await router.addHost('x.example.org', 'e21')
    expect(await names('x.example.org')).toEqual(['one'])
    await router.swap('e21', { set: 'r22', size: 1 })
    expect(await names('x.example.org')).toEqual(['two'])
    await router.addHost('y.example.org', 'e21')
    await router.swap('e21', { set: 'r21', size: 1 })
    expect(await names('x.example.org', 'y.example.org')).toEqual(['one', 'one'])
    await router.removeHost('x.example.org')
    await router.swap('e21', { set: 'r22', size: 1 })
    expect(await names('x.example.org', 'y.example.org')).toEqual(['', 'two'])
    await router.defineSet('r22', [one])
    expect(await names('y.example.org')).toEqual(['one'])
    await router.swap('e22', { set: 'r21', size: 1 })
    await router.defineSet('r22', [two])
    await router.addHost('y.example.org', 'e22')
    expect(await names('y.example.org')).toEqual(['one'])
    await router.swap('e22', { state: 'failed' })
    expect((await ask(proxy.port, 'y.example.org')).status).toBe(503)
    await router.swap('e22', { set: 'r22', size: 1 })
    await router.removeKey('e22')
    expect(await names('y.example.org')).toEqual([''])
    await Promise.all(backends.map((backend) => backend.close()))
  })

  it('takes many environments at once and any number of changes in between', async () => {
    const count = 3000
    const range = Array.from({ length: count }, (_, i) => i + 1)
    const routes = {
      hosts: new Map(range.map((i) => [`test--app${i}.example.org`, `e${i}`])),
      keys: new Map(range.map((i) => [`e${i}`, { set: `r${i}`, size: 1 }] as const)),
      sets: new Map(range.map((i) => [`r${i}`, [{ address: '127.0.0.1', port: i }]])),
      timeouts: new Map<string, number>(),
    }
    await Promise.all([
      proxy.router.replaceAll(routes),
      ...range.slice(0, 50).map((i) => proxy.router.setTimeout(`e${i}`, i)),
    ])
    await Promise.all(range.slice(0, 50).map((i) => proxy.router.swap(`e${i}`, { set: `r${i + 1}`, size: 1 })))
    for (const i of range.slice(0, 50)) routes.keys.set(`e${i}`, { set: `r${i + 1}`, size: 1 })
    const now = await proxy.router.read()
    expect(now.keys).toEqual(routes.keys)
    expect(now.hosts.size + now.sets.size).toBe(2 * count)
  })

  it('mends an entry that is there twice', async () => {
    const socket = makeProxySocket(join(proxy.dataDir, 'run/proxy.sock'))
    const map = join(proxy.dataDir, 'proxy/maps/hosts.map')
    const none = { hosts: new Map([['a.example.org', 'e1']]), keys: new Map(), sets: new Map() }
    await proxy.router.replaceAll(none)
    await tellProxy(proxy, `add map ${map} a.example.org e2`)
    expect(await socket.show(map)).toHaveLength(2)
    await proxy.router.replaceAll(none)
    expect(await socket.show(map)).toEqual([['a.example.org', 'e1']])
  })
})
