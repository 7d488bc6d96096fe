import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Secret } from '../../src/kernel/secret.ts'
import { type Maintenance, passwordHash, rangePrefixes } from '../../src/routing/index.ts'
import { type Ask, ask, type Backend, startEcho, startTestProxy, type TestProxy } from '../support/proxy.ts'

/* What visitors get of a site that is being worked on, by a real HAProxy. */

let proxy: TestProxy
let echo: Backend
const host = 'shop.example.org'
const page = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }
const from = (address: string): Ask => ({ headers: { 'x-forwarded-for': address }, localAddress: '127.0.0.2' })

beforeAll(async () => {
  proxy = await startTestProxy({ trustedProxies: ['127.0.0.2/32'] })
  echo = await startEcho('one')
  await proxy.router.defineSet('r1', [echo.target])
  await proxy.router.swap('e1', { set: 'r1', size: 1 })
})
afterAll(async () => {
  await echo.close()
  await proxy.remove()
})

async function work(maintenance: Maintenance, flags = 'mi', passwords: readonly string[] = []): Promise<void> {
  await proxy.router.setRules(1, { passwords, allowed: [], limits: null, maintenance })
  await proxy.router.addHost(host, `e1/${flags}/1`)
}

describe('a site that is being worked on', () => {
  it('answers browsers with a page and others with text, with the message as it was written and nothing of it read as HTML', async () => {
    const message = 'Zurück um 14:00: <script>alert(1)</script> & "100 %" %[src] %25 漢字 😀 \\n'
    await work({ message, allowed: [] })
    const shown = await ask(proxy.port, host, page)
    expect(shown.status).toBe(503)
    expect(shown.headers).toMatchObject({
      ...{ 'retry-after': '120', 'cache-control': 'no-store', 'content-type': 'text/html; charset=utf-8' },
      'x-robots-tag': 'noindex',
    })
    const body = Buffer.from(shown.body, 'latin1').toString('utf8')
    const read = shown.body.includes('ü') ? shown.body : body
    expect(read).toContain('This site is being worked on')
    expect(read).toContain(
      'Zurück um 14:00: &#60;script&#62;alert(1)&#60;/script&#62; &#38; &#34;100 %&#34; %[src] %25 漢字 😀 \\n',
    )
    expect(read).not.toContain('<script')
    for (const headers of [{ accept: 'application/json' }, {}, { accept: '*/*' }] as Ask['headers'][]) {
      const plain = await ask(proxy.port, host, { ...(headers === undefined ? {} : { headers }), path: '/api?a=1' })
      expect(plain.status).toBe(503)
      expect(plain.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'retry-after': '120' })
      expect(plain.headers).toMatchObject({ 'x-content-type-options': 'nosniff' })
      expect([`${message}\n`, Buffer.from(`${message}\n`).toString('latin1')]).toContain(plain.body)
    }
    expect(await ask(proxy.port, host, { method: 'POST', body: 'x'.repeat(5_000) })).toMatchObject({ status: 503 })
    expect(await ask(proxy.port, host, { method: 'HEAD' })).toMatchObject({ status: 503, body: '' })
  })

  it('takes a message of the greatest length, in any script', async () => {
    for (const message of ['😀'.repeat(300), '&'.repeat(300)]) {
      await work({ message, allowed: [] })
      expect((await ask(proxy.port, host)).body.length).toBeGreaterThan(300)
      expect((await ask(proxy.port, host, page)).status).toBe(503)
    }
  })

  it('is seen from the ranges that are let in, and by nobody who says that he comes from there', async () => {
    await work({ message: 'soon', allowed: ['203.0.113.0/24', '2001:db8::/48'].flatMap(rangePrefixes) })
    expect((await ask(proxy.port, host, from('203.0.113.77'))).status).toBe(200)
    expect((await ask(proxy.port, host, from('2001:db8::1'))).status).toBe(200)
    expect((await ask(proxy.port, host, from('203.0.114.1'))).status).toBe(503)
    expect((await ask(proxy.port, host, { headers: { 'x-forwarded-for': '203.0.113.77' } })).status).toBe(503)
  })

  it('is protected first: who may not see it is not told what is said of it', async () => {
    const known = passwordHash(await proxy.passwordKey(), { user: 'anna', password: new Secret('s3cret') })
    await work({ message: 'the secret launch', allowed: rangePrefixes('203.0.113.0/24') }, 'pmi', [known])
    const refused = await ask(proxy.port, host, page)
    expect(refused.status).toBe(401)
    expect(refused.body).not.toContain('launch')
    // To see the site behind the page does not let in past the password.
    expect((await ask(proxy.port, host, from('203.0.113.7'))).status).toBe(401)
    const authorization = `Basic ${Buffer.from('anna:s3cret').toString('base64')}`
    expect(await ask(proxy.port, host, { headers: { authorization } })).toMatchObject({ status: 503 })
    const inside = { ...from('203.0.113.7'), headers: { ...from('203.0.113.7').headers, authorization } }
    expect((await ask(proxy.port, host, inside as Ask)).status).toBe(200)
  })

  it('says so also when nothing runs behind it, and stays closed when its message is lost', async () => {
    await work({ message: 'soon', allowed: [] })
    await proxy.router.swap('e1', { state: 'stopped' })
    expect((await ask(proxy.port, host)).body).toBe('soon\n')
    await proxy.router.setRules(1, null)
    const { status, body } = await ask(proxy.port, host)
    expect([status, body]).toEqual([503, 'It will be back soon. Please try again in a few minutes.\n'])
    await proxy.router.swap('e1', { set: 'r1', size: 1 })
    await proxy.router.addHost(host, 'e1/i/1')
    expect((await ask(proxy.port, host)).status).toBe(200)
  })

  it('outlives the proxy, with nobody there to tell it again', async () => {
    await work({ message: 'back at 14:00', allowed: [] })
    await proxy.stop()
    await proxy.again().ensure()
    expect((await ask(proxy.port, host)).body).toBe('back at 14:00\n')
  })
})
