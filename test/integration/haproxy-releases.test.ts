import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Secret } from '../../src/kernel/secret.ts'
import { passwordHash } from '../../src/routing/index.ts'
import {
  ask,
  type Backend,
  type Echoed,
  startBackend,
  startEcho,
  startTestProxy,
  type TestProxy,
} from '../support/proxy.ts'

/* The addresses of releases, by a real HAProxy. */

let proxy: TestProxy
let echo: Backend
let liar: Backend

beforeAll(async () => {
  proxy = await startTestProxy()
  echo = await startEcho('one')
  liar = await startBackend((_req, res) => res.setHeader('X-Slipway-Release', 'v99').end('I am another'))
  await proxy.router.defineSet('d1', [echo.target])
  await proxy.router.defineSet('d2', [echo.target, echo.target])
  await proxy.router.defineSet('d3', [liar.target])
})
afterAll(async () => {
  await Promise.all([echo.close(), liar.close()])
  await proxy.remove()
})

const basic = { authorization: `Basic ${Buffer.from('anna:s3cret').toString('base64')}` }

async function protect(environmentId: number): Promise<void> {
  const hash = passwordHash(await proxy.passwordKey(), { user: 'anna', password: new Secret('s3cret') })
  await proxy.router.setAccess(environmentId, { passwords: [hash], allowed: [], limits: null })
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
