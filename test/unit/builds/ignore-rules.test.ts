import dockerignore from '@balena/dockerignore'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { readIgnoreRules } from '../../../src/builds/ignore-rules.ts'
import { cpuMsOf } from '../../support/cpu-time.ts'

const ignored = (rules: string, paths: string[]): string[] => {
  const read = readIgnoreRules(rules)
  return paths.filter((path) => read.ignores(path))
}

type Other = (options: object) => { add(rules: string): { ignores(path: string): boolean } }
// Its types and its module do not fit together.
const makeOther = dockerignore as unknown as Other

/** Rules, what they leave out, what they leave in: as Docker's reference describes them. */
const cases: [string, string, string[], string[]][] = [
  ['nothing', '', [], ['a', 'a/b']],
  ['comments and empty lines', '# a\n\n  \n#b', [], ['a', '#b']],
  ['a file', 'a.txt', ['a.txt'], ['b.txt', 'x/a.txt', 'a.txt2', 'A.txt']],
  ['a folder and all in it', 'a', ['a', 'a/b', 'a/b/c'], ['ab', 'x/a']],
  ['a slash at the end', 'a/', ['a', 'a/b'], ['ab']],
  ['a slash at the beginning', '/a', ['a', 'a/b'], ['x/a']],
  ['spaces around', '  a.txt \t', ['a.txt'], ['a.txt ']],
  ['a path that is cleaned', './x//../a/./b', ['a/b', 'a/b/c'], ['a', 'a/c']],
  ['a star', '*.md', ['README.md', '.md'], ['a/README.md', 'README.md2']],
  ['a star below a folder', '*/temp*', ['a/temp', 'a/temporary.txt', 'b/temp/x'], ['temp', 'a/b/temp']],
  ['two stars of one level', '*/*/temp*', ['a/b/temp1', 'a/b/temp/c'], ['a/temp', 'a/b/c/temp']],
  ['a question mark', 'temp?', ['tempa', 'temp1', 'tempa/x'], ['temp', 'tempaa', 'temp/']],
  ['a double star before', '**/*.go', ['a.go', 'x/a.go', 'x/y/a.go'], ['a.goo', 'x/a']],
  [
    'a double star before a name',
    '**/node_modules',
    ['node_modules', 'a/node_modules/x', 'a/b/node_modules'],
    ['a/my_node_modules', 'node_modules2'],
  ],
  ['a double star between', 'a/**/b', ['a/b', 'a/x/b', 'a/x/y/b/c'], ['a', 'b', 'ab', 'a/xb']],
  ['a double star behind', 'a/**', ['a/b', 'a/b/c'], ['a', 'ab']],
  ['everything', '**', ['a', 'a/b'], []],
  ['everything but', '*\n!a\n!b/c', ['x', 'x/y', 'b', 'b/d'], ['a', 'a/deep', 'b/c', 'b/c/d']],
  [
    'the last rule wins',
    '*.md\n!README*.md\nREADME-secret.md',
    ['a.md', 'README-secret.md'],
    ['README.md', 'README-x.md'],
  ],
  [
    'the last rule wins, in the other order',
    '*.md\nREADME-secret.md\n!README*.md',
    ['a.md'],
    ['README.md', 'README-secret.md'],
  ],
  ['an exception without a rule', '!a', [], ['a', 'b']],
  ['an exception with spaces', '*\n!  a', ['b'], ['a']],
  ['a class', '[a-c]x[^0-9]', ['axz', 'cx_', 'bxy/z'], ['dxz', 'ax1', 'ax/']],
  ['an escaped star', 'a\\*', ['a*'], ['ab', 'a']],
  [
    'letters of regular expressions',
    'a.b\na(b)\na+\n{x}\n^y$\na|b',
    ['a.b', 'a(b)', 'a+', '{x}', '^y$', 'a|b'],
    ['axb', 'ab', 'aa', 'x', 'y', 'a', 'b'],
  ],
  ['brackets of a web framework', 'app/\\[id]/x', ['app/[id]/x'], ['app/i/x']],
  ['the whole context, which stays', '.\n/', [], ['a']],
  ['a way out, which matches nothing', '../a', [], ['a']],
  ['line ends of Windows', 'a\r\nb\r\n', ['a', 'b'], ['a\r']],
  ['names of every object', 'constructor\n__proto__', ['constructor', '__proto__/x'], ['toString']],
]

describe('.dockerignore', () => {
  it.each(cases)('%s', (_, rules, out, left) => {
    expect(ignored(rules, [...out, ...left])).toEqual(out)
  })

  it.each(['[', 'a[b', '[]', '[^]'])('refuses %s with its line', (rule) => {
    expect(() => readIgnoreRules(`ok\n${rule}`)).toThrow('line 2: a [ without its ]')
  })

  it.each([
    ['stars', `${'*a'.repeat(200)}b`],
    ['double stars', `${'**/a'.repeat(200)}b`],
    ['both', `${'**a*'.repeat(100)}b`],
  ])('is not kept busy by many %s', (_, rule) => {
    expect(cpuMsOf(() => expect(ignored(rule, ['a'.repeat(250), 'a/'.repeat(125)])).toEqual([]))).toBeLessThan(1_000)
  })

  it('refuses what would take too long', () => {
    expect(() => readIgnoreRules('a\n'.repeat(1001))).toThrow('more than 1000 rules')
    const read = readIgnoreRules('*a*\n'.repeat(900).concat('*'.repeat(50)))
    expect(() => read.ignores('a'.repeat(1_000_000))).toThrow('too many for the long paths')
  })

  it('agrees with another implementation on plain patterns', () => {
    const part = fc.constantFrom('a', 'b', 'ab', '*', 'a*', '?b', '*.a', 'c.a')
    const folders = fc.array(fc.oneof({ weight: 4, arbitrary: part }, { weight: 1, arbitrary: fc.constant('**') }), {
      minLength: 1,
      maxLength: 3,
    })
    const rule = fc.tuple(fc.boolean(), folders).map(([not, parts]) => `${not ? '!' : ''}${parts.join('/')}`)
    const path = fc
      .array(fc.constantFrom('a', 'b', 'ab', 'bb', 'x.a', 'c.a'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join('/'))
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), path, (rules, one) => {
        const other = makeOther({ ignorecase: false }).add(rules.join('\n'))
        expect([rules, one, readIgnoreRules(rules.join('\n')).ignores(one)]).toEqual([rules, one, other.ignores(one)])
      }),
      { numRuns: 2000, seed: 5 },
    )
  })
})
