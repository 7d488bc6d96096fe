import { describe, expect, it } from '@jest/globals'
import { configHash, renderConfig } from '../../../../src/adapters/haproxy/config.ts'
import { pages, renderPage } from '../../../../src/adapters/haproxy/pages.ts'
import type { ProxySettings } from '../../../../src/adapters/haproxy/settings.ts'
import { Secret } from '../../../../src/kernel/secret.ts'

const settings: ProxySettings = {
  dataDir: '/var/lib/slipway',
  bind: '127.0.0.1',
  port: 8080,
  controlHost: 'slipway.localhost',
  trustedProxies: [],
  passwordKey: new Secret(Buffer.alloc(32, 7).toString('base64')),
  user: 'haproxy',
}

describe('the configuration', () => {
  it('is the same for the same settings, and known by its hash', () => {
    expect(renderConfig(settings)).toBe(renderConfig({ ...settings }))
    expect(configHash(renderConfig(settings))).toMatch(/^[0-9a-f]{16}$/)
  })

  it.each([
    { bind: '0.0.0.0' },
    { port: 80 },
    { controlHost: 'a.b' },
    { trustedProxies: ['10.0.0.0/8'] },
    { user: null },
    { dataDir: '/srv/x' },
  ])('has another hash with other settings: %j', (change) => {
    expect(configHash(renderConfig({ ...settings, ...change }))).not.toBe(configHash(renderConfig(settings)))
  })

  it('offers nothing administrative on TCP, and its socket to its owner only', () => {
    const lines = renderConfig(settings).split('\n')
    expect(lines.filter((line) => /^\s*bind /.test(line))).toEqual(['    bind 127.0.0.1:8080'])
    expect(lines.filter((line) => /stats /.test(line) && !/timeout|maxconn/.test(line))).toEqual([
      '    stats socket /var/lib/slipway/run/proxy.sock mode 600 level admin expose-fd listeners',
    ])
  })

  it('gives up root and locks itself in when it has root to give up', () => {
    expect(renderConfig(settings)).toMatch(/user haproxy\n {4}group haproxy\n {4}chroot \/var\/lib\/slipway\/run\n/)
    expect(renderConfig({ ...settings, user: null })).not.toMatch(/\n {4}(user|group|chroot) /)
  })

  it.each([
    { dataDir: 'relative' },
    { dataDir: '/with blank' },
    { dataDir: '/a\nglobal' },
    { dataDir: '/a"b' },
    { dataDir: `/${'a'.repeat(90)}` },
    { bind: '*' },
    { bind: '1.2.3.4 name x' },
    { port: 0 },
    { port: 65536 },
    { port: 80.5 },
    { controlHost: 'a b' },
    { controlHost: 'a }\n' },
    { controlHost: 'UPPER' },
    { trustedProxies: ['10.0.0.0'] },
    { trustedProxies: ['10.0.0.0/33'] },
    { trustedProxies: ['0.0.0.0/0 }'] },
    { trustedProxies: ['10.0.0.0/8/8'] },
    { user: 'x\nuser root' },
  ])('is not made from odd values: %j', (change) => {
    expect(() => renderConfig({ ...settings, ...change })).toThrow()
  })
})

describe('a request that may pass all rules', () => {
  const config = renderConfig(settings)
  const [, plain = ''] = /http-request allow if .* !{ req\.hdr_names -m reg (\S+) }/.exec(config) ?? []
  const passes = (...names: string[]): boolean => !new RegExp(plain).test(names.join(','))

  it('has none of the headers that rules look at', () => {
    expect(passes('host', 'user-agent', 'accept', 'cookie', 'x-requested-with', 'x-request-id', 'via')).toBe(true)
    const ruled = 'content-length transfer-encoding connection upgrade proxy forwarded http2-settings host'
    const forged =
      'x-forwarded-for x_forwarded_for x.forwarded.for x~forwarded-for x-forwarded-prefix x-real-ip true-client-ip cf_connecting_ip x-slipway-user'
    const more = 'x-original-url x-original-host x-rewrite-url client-ip x-client-ip x-cluster-client-ip'
    for (const name of `${ruled} ${forged} ${more}`.split(' ')) {
      expect([name, passes('host', name), passes('host', 'a', name, 'b')]).toEqual([name, false, false])
      if (name !== 'host') expect([name, passes(name, 'host')]).toEqual([name, false])
    }
  })

  it('is kept from no rule by a header that no rule’s names foresee: every header name in a rule is among them', () => {
    // Hosts that have rules of their own have no short way.
    const short = config.replace(/\nbackend (?:app|releases)-careful\n[^]*?(?=\n\S)/g, '')
    expect(short.length).toBeLessThan(config.length)
    const rules = short.split('\n').filter((line) => /^ {4}(http-request|use_backend) (?!allow)/.test(line))
    const inRules = rules.flatMap((line) =>
      [...line.matchAll(/req\.f?hdr(?:_val|_cnt)?\(([a-z-]+)\)/g)].map(([, name = '']) => name),
    )
    expect(inRules).toContain('transfer-encoding')
    for (const name of inRules.filter((name) => name !== 'host'))
      expect([name, passes('host', name)]).toEqual([name, false])
  })
})

describe('the pages', () => {
  it('are whole answers that a proxy can send', () => {
    for (const page of Object.values(pages)) {
      const text = renderPage(page, '<h1>{{title}}</h1>{{text}} é')
      const [head = '', body = ''] = text.split('\r\n\r\n')
      expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${page.status} `))
      expect(Number(/Content-Length: ([0-9]+)/.exec(head)?.[1])).toBe(Buffer.byteLength(body))
      expect(body).toBe(`<h1>${page.title}</h1>${page.text} é`)
      expect(/Retry-After: /.test(head)).toBe([429, 503].includes(page.status))
    }
  })
})
