import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { parseAppName, parseBranchName, parseCommitId, parseEnvironmentName, quote } from '../../../src/kernel/names.ts'

describe('names from outside', () => {
  it.each(['shop', 'a', 'my-shop', 's3', 'a'.repeat(30)])('takes %s as an app', (name) => {
    expect(parseAppName(name)).toBe(name)
  })

  it.each([
    '',
    '-',
    'Shop',
    'shop-',
    '-shop',
    '3shop',
    'my--shop',
    'v12',
    'slipway',
    'www',
    'a'.repeat(31),
    'shop.git',
    '../etc',
    'a/b',
    'a b',
    'shop\n',
    'shop\u0000',
    'ｓhop',
    '--exec=x',
  ])('refuses %j as an app', (name) => {
    expect(() => parseAppName(name)).toThrow(/cannot be the name|reserved/)
  })

  it('gives environments 20 characters', () => {
    expect(parseEnvironmentName('a'.repeat(20))).toHaveLength(20)
    expect(() => parseEnvironmentName('a'.repeat(21))).toThrow()
  })

  it.each(['main', 'feature/x', 'fix-1.2', 'ümlaut', 'a@b'])('takes %s as a branch', (name) => {
    expect(parseBranchName(name)).toBe(name)
  })

  it.each([
    '',
    '-x',
    '--exec=x',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a/.b',
    'a.lock',
    'a.',
    '@',
    'a@{1}',
    'a\nb',
    'a\u0007',
    'a\u202eb',
    'a\u200bb',
    'é'.repeat(101),
  ])('refuses %j as a branch', (name) => {
    expect(() => parseBranchName(name)).toThrow(/cannot be the name of a branch/)
  })

  it('lets nothing through that a shell, a path, SQL or the proxy’s socket could take for more than a name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        let name: string
        try {
          name = parseAppName(text)
        } catch {
          return
        }
        expect(name).toMatch(/^[a-z][a-z0-9-]*$/)
      }),
      { numRuns: 20_000 },
    )
  })

  it('knows full commit ids only', () => {
    expect(parseCommitId('a'.repeat(40))).toHaveLength(40)
    for (const bad of ['a'.repeat(39), 'A'.repeat(40), 'HEAD', `${'a'.repeat(40)}\n`])
      expect(() => parseCommitId(bad)).toThrow()
  })

  it('quotes foreign values harmlessly', () => {
    expect(quote('a\u001b[2Jb')).toBe('“a\\u{1b}[2Jb”')
    expect(quote('x'.repeat(100))).toHaveLength(82)
  })
})
