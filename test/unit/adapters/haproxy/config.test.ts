import { describe, expect, it } from '@jest/globals'
import { configHash, type ProxySettings, renderConfig } from '../../../../src/adapters/haproxy/config.ts'
import { pages, renderPage } from '../../../../src/adapters/haproxy/pages.ts'

const settings: ProxySettings = {
  dataDir: '/var/lib/slipway',
  bind: '127.0.0.1',
  port: 8080,
  controlHost: 'slipway.localhost',
  trustedProxies: [],
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

describe('the pages', () => {
  it('are whole answers that a proxy can send', () => {
    for (const page of Object.values(pages)) {
      const text = renderPage(page, '<h1>{{title}}</h1>{{text}} é')
      const [head = '', body = ''] = text.split('\r\n\r\n')
      expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${page.status} `))
      expect(Number(/Content-Length: ([0-9]+)/.exec(head)?.[1])).toBe(Buffer.byteLength(body))
      expect(body).toBe(`<h1>${page.title}</h1>${page.text} é`)
      expect(/Retry-After: /.test(head)).toBe(page.status === 503)
    }
  })
})
