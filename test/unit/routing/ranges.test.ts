import { describe, expect, it } from '@jest/globals'
import { parseRange, rangePrefixes } from '../../../src/routing/index.ts'

describe('a range of addresses', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7/32', ['4CB007107']],
    ['203.0.113.0/24', '203.0.113.0/24', ['4CB0071']],
    ['10.0.0.0/8', '10.0.0.0/8', ['40A']],
    ['203.0.113.128/25', '203.0.113.128/25', [...'89ABCDEF'].map((digit) => `4CB0071${digit}`)],
    ['203.0.112.0/22', '203.0.112.0/22', ['4CB0070', '4CB0071', '4CB0072', '4CB0073']],
    ['128.0.0.0/1', '128.0.0.0/1', [...'89ABCDEF'].map((digit) => `4${digit}`)],
    ['2001:DB8::', '2001:db8::/128', [`620010DB8${'0'.repeat(24)}`]],
    ['2001:db8:0:0::/32', '2001:db8::/32', ['620010DB8']],
    ['::1', '::1/128', [`6${'0'.repeat(31)}1`]],
    ['fe80::/10', 'fe80::/10', ['6FE8', '6FE9', '6FEA', '6FEB']],
  ])('%s is %s', (given, text, prefixes) => {
    expect(parseRange(given)).toBe(text)
    expect(rangePrefixes(text)).toEqual(prefixes)
  })

  it('holds exactly its addresses, whatever its length', () => {
    const digitsOf = (n: number): string => `4${n.toString(16).padStart(8, '0').toUpperCase()}`
    for (let bits = 1; bits <= 32; bits += 1) {
      const size = 2 ** (32 - bits)
      const first = Math.floor(0xcb00_7185 / size) * size
      const address = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')
      const prefixes = rangePrefixes(parseRange(`${address}/${bits}`))
      expect(prefixes.length).toBeLessThanOrEqual(8)
      const holds = (n: number): boolean => prefixes.some((prefix) => digitsOf(n).startsWith(prefix))
      expect([bits, holds(first), holds(first + size - 1)]).toEqual([bits, true, true])
      if (first > 0) expect([bits, holds(first - 1)]).toEqual([bits, false])
      if (first + size < 2 ** 32) expect([bits, holds(first + size)]).toEqual([bits, false])
    }
  })

  it.each([
    ...['', ' ', 'all', '*', '203.0.113', '203.0.113.256', '203.0.113.0/33', '203.0.113.0/-1', '203.0.113.0/', '/24'],
    ...[
      '203.0.113.0/24/24',
      '203.0.113.0/024',
      '203.0.113.0/ 8',
      '203.0.113.0-203.0.113.9',
      '0.0.0.0/0',
      '::/0',
      '::/129',
    ],
    ...[
      'fe80::1%eth0',
      '::ffff:203.0.113.7',
      '1:2:3:4:5:6:7:8:9',
      '203.0.113.0/24\nadd map',
      '2001:db8::g',
      'example.org',
    ],
  ])('%j is none', (given) => {
    expect(() => parseRange(given)).toThrow('is not a range of addresses')
  })

  it('that does not begin where it says is told where it begins', () => {
    const hintOf = (given: string): unknown => {
      try {
        return parseRange(given)
      } catch (error) {
        return (error as { hint: string }).hint
      }
    }
    expect(hintOf('203.0.113.77/24')).toContain('did you mean 203.0.113.0/24?')
    expect(hintOf('2001:db8::1/64')).toContain('did you mean 2001:db8::/64?')
  })
})
