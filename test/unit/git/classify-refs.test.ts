import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { classifyRef } from '../../../src/git/classify-refs.ts'

const latin1 = (text: string): string => Buffer.from(text).toString('latin1')

describe('what a ref is', () => {
  it.each([
    ['refs/heads/main', { kind: 'branch', branch: 'main' }],
    ['refs/heads/feature/größer', { kind: 'branch', branch: 'feature/größer' }],
    ['refs/tags/v1.0', { kind: 'tag' }],
    ['refs/notes/commits', { kind: 'note' }],
  ])('%s', (ref, expected) => {
    expect(classifyRef(latin1(ref))).toEqual(expected)
  })

  it.each([
    ['refs/slipway/deploys/1', 'Slipway’s own'],
    ['refs/heads/HEAD', 'HEAD'],
    ['refs/heads/refs/heads/main', 'name of a branch cannot begin with refs/'],
    ['refs/tags/refs/heads/main', 'name of a tag cannot begin with refs/'],
    ['refs/heads/', 'only branches'],
    ['refs/changes/01/1/1', 'only branches, tags and notes can be pushed'],
    ['refs/replace/a', 'only branches'],
    ['refs/stash', 'only branches'],
    ['HEAD', 'only branches'],
    ['refs/heads/--upload-pack=x', 'name of a branch'],
    ['refs/heads/a\u001b]0;x\u0007', 'name of a branch'],
    ['refs/heads/\u202emoc', 'name of a branch'],
    ['refs/tags/-x', 'name of a tag'],
    ['refs/heads/a/../b', 'name of a branch'],
  ])('%j is refused', (ref, reason) => {
    expect(classifyRef(latin1(ref))).toMatchObject({ kind: 'refused', reason: expect.stringContaining(reason) })
  })

  it('a name that is not UTF-8 is refused', () => {
    expect(classifyRef('refs/heads/\xff\xfe')).toMatchObject({ kind: 'refused', reason: 'its name is not UTF-8' })
  })

  it('a reason is one line without control characters, whatever the name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        const found = classifyRef(latin1(`refs/heads/${name}`))
        if (found.kind === 'refused') expect(found.reason).toMatch(/^[\x20-\x7e“”’…–]*$/)
      }),
      { numRuns: 2000 },
    )
  })
})
