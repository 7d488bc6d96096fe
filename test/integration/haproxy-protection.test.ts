import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Secret } from '../../src/kernel/secret.ts'
import { type Rules, passwordHash, rangePrefixes } from '../../src/routing/index.ts'
import {
  type Answer,
  ask,
  type Ask,
  type Backend,
  type Echoed,
  sendRaw,
  startEcho,
  startTestProxy,
  type TestProxy,
} from '../support/proxy.ts'

/* Who is let in to a protected environment, by a real HAProxy. Each test has an environment of its own. */

let proxy: TestProxy
let echo: Backend
let last = 100
let id = 0
let host = ''

beforeAll(async () => {
  proxy = await startTestProxy({ trustedProxies: ['127.0.0.2/32', '198.51.100.0/24'] })
  echo = await startEcho('one')
})
afterAll(async () => {
  await echo.close()
  await proxy.remove()
})
beforeEach(async () => {
  id = last += 1
  host = `test--shop${id}.example.org`
  await proxy.router.defineSet(`r${id}`, [echo.target])
  await proxy.router.swap(`e${id}`, { set: `r${id}`, size: 1 })
})

const hash = async (user: string, password: string): Promise<string> =>
  passwordHash(await proxy.passwordKey(), { user, password: new Secret(password) })
const protect = async (flags: string, rules: Partial<Rules>): Promise<void> => {
  await proxy.router.setRules(id, { passwords: [], allowed: [], limits: null, ...rules })
  await proxy.router.addHost(host, `e${id}/${flags}/${id}`)
}
const basic = (user: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})
const from = (address: string): Ask => ({ headers: { 'x-forwarded-for': address }, localAddress: '127.0.0.2' })
const status = async (options?: Ask): Promise<number> => (await ask(proxy.port, host, options)).status
const seen = (answer: Answer): Echoed => JSON.parse(answer.body) as Echoed

describe('a password', () => {
  it('is asked for by a plain page that names the environment, and lets in whoever has it', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    const refused = await ask(proxy.port, host)
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toBe(`Basic realm="${host}", charset="UTF-8"`)
    expect(refused.headers['cache-control']).toBe('no-store')
    expect(refused.body).toContain('wants a password')
    expect(refused.body).not.toContain('shop')
    expect((await ask(proxy.port, host, { method: 'HEAD' })).body).toBe('')
    const answer = await ask(proxy.port, host, { headers: basic('anna', 's3cret') })
    expect(answer.status).toBe(200)
    expect(seen(answer).headers).not.toHaveProperty('authorization')
  })

  it.each([
    ['POST', { method: 'POST', body: 'x'.repeat(1000) }],
    [
      'OPTIONS',
      { method: 'OPTIONS', headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' } },
    ],
    ['PUT', { method: 'PUT', body: 'x' }],
  ] as const)('is asked for whatever the method: %s', async (_name, options: Ask) => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    expect(await status(options)).toBe(401)
    const headers = { ...options.headers, ...basic('anna', 's3cret') }
    expect(await status({ ...options, headers })).toBe(200)
  })

  it('is asked for before an upgrade', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    const upgrade = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
    expect(await sendRaw(proxy.port, upgrade)).toMatch(/^HTTP\/1\.1 401 /)
  })

  it('is the same answer for an unknown user, a wrong password and none', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    const others = [
      basic('anna', 'wrong'),
      basic('bert', 's3cret'),
      basic('anna', 's3cret '),
      basic('Anna', 's3cret'),
      basic('', ''),
      { authorization: 'Bearer s3cret' },
    ]
    const plain = await ask(proxy.port, host)
    for (const headers of others) {
      const { status: code, headers: told, body } = await ask(proxy.port, host, { headers })
      expect([code, body, told]).toEqual([401, plain.body, plain.headers])
    }
  })

  it.each(['äöü-ß-漢字-🔑', 'with:colons:', ' blanks ', '"quotes"\\', 'x'.repeat(200), '%24{}$(id)', ','])(
    'may be any text: %s',
    async (password) => {
      await protect('p', { passwords: [await hash('anna', password)] })
      expect(await status({ headers: basic('anna', password) })).toBe(200)
      expect(await status({ headers: basic('anna', `${password}x`) })).toBe(401)
    },
  )

  it('is of one environment alone, and of all its users', async () => {
    await protect('p', {
      passwords: [await hash('anna', 'one'), await hash('bert', 'two')],
    })
    expect(await status({ headers: basic('anna', 'one') })).toBe(200)
    expect(await status({ headers: basic('bert', 'two') })).toBe(200)
    expect(await status({ headers: basic('anna', 'two') })).toBe(401)
    expect(await status({ headers: basic('eve', 'x') })).toBe(401)
  })

  it.each([
    ['no base64', 'Basic !!!'],
    ['nothing', 'Basic'],
    ['nothing but blanks', 'Basic    '],
    ['a huge one', `Basic ${'A'.repeat(12_000)}`],
    ['a beginning of the right one', `Basic ${Buffer.from('anna:s3c').toString('base64')}`],
    ['the right one under another scheme', `Basico ${Buffer.from('anna:s3cret').toString('base64')}`],
    ['the right one behind something', `Basic x ${Buffer.from('anna:s3cret').toString('base64')}`],
  ])('is not %s', async (_name, authorization) => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    expect(await status({ headers: { authorization } })).toBe(401)
  })

  it('cannot be smuggled: more than fits, line ends, two headers', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    const right = basic('anna', 's3cret')['authorization'] as string
    const send = (lines: string): Promise<string> =>
      sendRaw(proxy.port, `GET / HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n`)
    expect(await send(`Authorization: Basic ${'A'.repeat(40_000)}`)).toMatch(/^HTTP\/1\.[01] 400 /)
    expect(await send(`Authorization: Basic x\r\n\t${right}`)).toMatch(/^HTTP\/1\.[01] 40[01] /)
    expect(await send(`Authorization: ${right}\r\nAuthorization: Basic x`)).toMatch(/^HTTP\/1\.1 401 /)
    const both = await send(`Authorization: Basic x\r\nAuthorization: ${right}`)
    expect(both).not.toContain('authorization')
    expect(await send(`Authorization: bAsIc   ${right.slice(6)}`)).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('holds from the next request on, on kept connections too, and is gone as quickly', async () => {
    await proxy.router.addHost(host, `e${id}`)
    expect(await status()).toBe(200)
    await protect('p', { passwords: [await hash('anna', 'one')] })
    expect(await status()).toBe(401)
    expect(await status({ headers: basic('anna', 'one') })).toBe(200)
    await protect('p', { passwords: [await hash('anna', 'two')] })
    expect(await status({ headers: basic('anna', 'one') })).toBe(401)
    expect(await status({ headers: basic('anna', 'two') })).toBe(200)
    await proxy.router.addHost(host, `e${id}`)
    await proxy.router.setRules(id, null)
    const answer = await ask(proxy.port, host, { headers: basic('anna', 'one') })
    expect(seen(answer).headers['authorization']).toBe(basic('anna', 'one')['authorization'])
  })

  it('lets nobody in when its rules are lost', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    await proxy.router.setRules(id, null)
    expect(await status({ headers: basic('anna', 's3cret') })).toBe(401)
    await proxy.router.addHost(host, `e${id}/a/${id}`)
    expect(await status()).toBe(403)
  })

  it('that was guessed too often is not looked at for a while, also when it is right; other environments do not mind', async () => {
    await protect('p', { passwords: [await hash('anna', 's3cret')] })
    const codes = new Set<number>()
    for (let i = 0; i < 21; i += 1) codes.add(await status({ headers: basic('anna', `no${i}`) }))
    expect([...codes]).toEqual([401])
    const refused = await ask(proxy.port, host, { headers: basic('anna', 's3cret') })
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '60'])
    // Another visitor.
    expect(
      await status({ ...from('203.0.113.9'), headers: { ...from('203.0.113.9').headers, ...basic('anna', 's3cret') } }),
    ).toBe(200)
  })

  it('that is right is no guess, and guesses do not shut out who needs none', async () => {
    const passwords = [await hash('anna', 's3cret')]
    const inside = from('203.0.113.21')
    await protect('p', { passwords })
    const codes = async (password: string): Promise<number[]> => {
      const all = new Set<number>()
      for (let i = 0; i < 25; i += 1)
        all.add(await status({ ...inside, headers: { ...inside.headers, ...basic('anna', password) } }))
      return [...all]
    }
    expect(await codes('s3cret')).toEqual([200])
    expect(await codes('wrong')).toEqual([401, 429])
    await protect('pa', { passwords, allowed: rangePrefixes('203.0.113.21/32') })
    expect(await codes('wrong')).toEqual([200])
  })
})

describe('addresses', () => {
  it.each([
    ['203.0.113.0/24', '203.0.113.77', '203.0.114.1'],
    ['203.0.113.128/25', '203.0.113.128', '203.0.113.127'],
    ['203.0.112.0/22', '203.0.115.255', '203.0.116.0'],
    ['203.0.113.7/32', '203.0.113.7', '203.0.113.8'],
    ['128.0.0.0/1', '203.0.113.7', '12.0.0.1'],
    ['2001:db8::/33', '2001:db8:7fff::1', '2001:db8:8000::1'],
    ['2001:db8:1::1/128', '2001:db8:1::1', '2001:db8:1::2'],
    ['cb00:7100::/24', 'cb00:7101::1', '203.0.113.7'],
  ])('of %s are let in without a password, others with one', async (range, inside, outside) => {
    await protect('pa', { passwords: [await hash('anna', 's3cret')], allowed: rangePrefixes(range) })
    expect(await status(from(inside))).toBe(200)
    expect(await status(from(outside))).toBe(401)
    const headers = { ...from(outside).headers, ...basic('anna', 's3cret') }
    expect(await status({ ...from(outside), headers })).toBe(200)
  })

  it('alone are all who may come', async () => {
    await protect('a', { allowed: rangePrefixes('203.0.113.0/24') })
    expect(await status(from('203.0.113.1'))).toBe(200)
    const refused = await ask(proxy.port, host, { ...from('203.0.114.1'), method: 'GET' })
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([403, undefined])
    // The proxy uses no password here: what the app gets is the app's.
    const answer = await ask(proxy.port, host, {
      ...from('203.0.113.1'),
      headers: { ...from('203.0.113.1').headers, authorization: 'Bearer x' },
    })
    expect(seen(answer).headers['authorization']).toBe('Bearer x')
  })

  it('are believed from trusted proxies alone, from the nearest one that is none of them', async () => {
    await protect('a', { allowed: rangePrefixes('203.0.113.0/24') })
    expect(await status({ headers: { 'x-forwarded-for': '203.0.113.1' } })).toBe(403)
    expect(await status(from('203.0.113.1, 198.51.100.7'))).toBe(200)
    expect(await status(from('203.0.113.1, 198.51.100.7, 198.51.100.8'))).toBe(200)
    expect(await status(from('203.0.113.1, 192.0.2.1'))).toBe(403)
    expect(await status(from('nonsense'))).toBe(403)
    expect(await status({ localAddress: '127.0.0.2' })).toBe(403)
  })

  it('take the password of the proxy away from the app also where none was needed', async () => {
    await protect('pa', { passwords: [await hash('anna', 's3cret')], allowed: rangePrefixes('127.0.0.0/8') })
    const own = await ask(proxy.port, host, { headers: basic('anna', 's3cret') })
    expect(seen(own).headers).not.toHaveProperty('authorization')
    const apps = await ask(proxy.port, host, { headers: basic('anna', 'of the app') })
    expect(seen(apps).headers['authorization']).toBe(basic('anna', 'of the app')['authorization'])
  })
})

describe('search engines', () => {
  it.each([
    ['an environment', '', 'noindex'],
    ['a protected one', '/p/7', 'noindex'],
    ['a live one', '/i/7', undefined],
    ['a live one that is limited', '/li/7', undefined],
  ])('are told about %s', async (_name, flags, told) => {
    await proxy.router.addHost(host, `e${id}${flags}`)
    for (const method of ['GET', 'POST', 'OPTIONS']) {
      expect((await ask(proxy.port, host, { method })).headers['x-robots-tag']).toBe(told)
    }
    await proxy.router.defineSet(`r${id}`, [echo.target, echo.target])
    await proxy.router.swap(`e${id}`, { set: `r${id}`, size: 2 })
    expect((await ask(proxy.port, host)).headers['x-robots-tag']).toBe(told)
  })
})

describe('many', () => {
  it('protected environments are set at once, and each is changed within milliseconds', async () => {
    const count = 10_000
    const numbers = Array.from({ length: count }, (_, i) => 100_000 + i)
    const rules = new Map<number, Rules>()
    const hosts = new Map<string, string>()
    for (const n of numbers) {
      rules.set(n, {
        passwords: [await hash('anna', `pw${n}`)],
        allowed: rangePrefixes('203.0.113.0/25'),
        limits: null,
      })
      hosts.set(`test--app${n}.example.org`, `e${n}/pa/${n}`)
    }
    await proxy.router.replaceAll({
      hosts,
      rules,
      keys: new Map(numbers.map((n) => [`e${n}`, { set: `r${n}`, size: 1 }])),
      sets: new Map(numbers.map((n) => [`r${n}`, [echo.target]])),
    })
    expect((await proxy.router.read()).rules?.size).toBe(count)
    const some = numbers[7_777] as number
    host = `test--app${some}.example.org`
    expect(await status()).toBe(401)
    expect(await status({ headers: basic('anna', `pw${some}`) })).toBe(200)
    expect(await status(from('203.0.113.5'))).toBe(200)
    const begun = performance.now()
    await proxy.router.setRules(some, { passwords: [await hash('anna', 'new')], allowed: [], limits: null })
    expect(performance.now() - begun).toBeLessThan(5_000)
    expect(await status({ headers: basic('anna', 'new') })).toBe(200)
    expect(await status({ headers: basic('anna', `pw${some}`) })).toBe(401)
  }, 60_000)
})
