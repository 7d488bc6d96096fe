import { describe, expect, it } from '@jest/globals'
import { environmentHost, releaseHost, siteUrl } from '../../../src/routing/hosts.ts'
import {
  environmentKey,
  parseHost,
  parseRouteKey,
  parseSetId,
  parseTarget,
  releaseKey,
  releaseSet,
} from '../../../src/routing/index.ts'

describe('names for the proxy', () => {
  it('are made from labels and ids', () => {
    expect(environmentHost('test--shop', 'example.org')).toBe('test--shop.example.org')
    expect(releaseHost(12, 'test--shop', 'localhost')).toBe('v12--test--shop.localhost')
    expect([environmentKey(7), releaseKey('8'), releaseSet(9)]).toEqual(['e7', 'r8', 'd9'])
    expect(siteUrl('shop.example.org', 8080)).toBe('http://shop.example.org:8080')
    expect(siteUrl('shop.example.org', 80)).toBe('http://shop.example.org')
  })

  it.each(['a', 'a.b', 'v1--test--shop.localhost', '1.example.org', `${'a'.repeat(63)}.org`])('accept %s', (host) => {
    expect(parseHost(host)).toBe(host)
  })

  it.each(['', '.', 'a.', '.a', 'a..b', '-a', 'a-', 'a_b', 'A', 'a b', 'a\n', 'a;', 'é', `${'a'.repeat(64)}`, 'a:80'])(
    'refuse %j',
    (host) => {
      expect(() => parseHost(host)).toThrow('is not a host name')
    },
  )

  it.each(['', 'e', 'e0', 'e01', 'x1', 'e1 ', 'e1\n', 'e-1', 'e1.5', 'eNaN', `e${'1'.repeat(20)}`])(
    'refuse %j as a key',
    (key) => {
      expect(() => parseRouteKey(key)).toThrow()
      expect(() => parseSetId(key.replace('e', 'r'))).toThrow()
    },
  )

  it('refuse what would lead the proxy to itself or nowhere', () => {
    for (const [address, port] of [
      ['0.0.0.0', 80],
      ['1.2.3', 80],
      ['::1', 80],
      ['1.2.3.4', 0],
      ['1.2.3.4', 65536],
      ['1.2.3.4', 1.5],
      ['1.2.3.4', Number.NaN],
    ] as const) {
      expect(() => parseTarget({ address, port })).toThrow('is not an address with a port')
    }
  })
})
