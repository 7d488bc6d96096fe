import { describe, expect, it } from '@jest/globals'
import { parsePushOptions } from '../../../src/git/push-options.ts'

describe('push options', () => {
  it('are none by default', () => {
    expect(parsePushOptions([])).toEqual({
      nowait: false,
      skipDeploy: false,
      forceRebuild: false,
      strict: false,
      environments: [],
    })
  })

  it('name environments once each', () => {
    expect(parsePushOptions(['env=live', 'nowait', 'env=test', 'env=live'])).toEqual({
      nowait: true,
      skipDeploy: false,
      forceRebuild: false,
      strict: false,
      environments: ['live', 'test'],
    })
  })

  it.each([['strict=1'], ['NOWAIT'], ['env='], ['env=a b'], ['nowait=1'], [''], ['\u001b[31m']])(
    '%j is refused',
    (option) => {
      expect(() => parsePushOptions([option])).toThrow(expect.objectContaining({ code: 'bad_request' }))
    },
  )

  it.each([[`env=${'x'.repeat(4_000)}`], ['strict'.repeat(1_000)], ['x'.repeat(1_001)]])(
    'that are longer than any are refused by name, and not repeated whole',
    (option) => {
      const name = option.slice(0, 79)
      const refusal = { message: `The push option “${name}…” is longer than 1000 characters: there is none such.` }
      expect(() => parsePushOptions(['nowait', option])).toThrow(expect.objectContaining(refusal))
    },
  )

  it('are at most 50', () => {
    const many = (count: number): string[] => Array.from({ length: count }, () => 'nowait')
    expect(parsePushOptions(many(50))).toMatchObject({ nowait: true })
    expect(() => parsePushOptions(many(51))).toThrow('at most 50 push options')
  })

  it('ask for a build of their own', () => {
    expect(parsePushOptions(['force-rebuild'])).toMatchObject({ forceRebuild: true, environments: [] })
  })

  it('ask for all or nothing', () => {
    expect(parsePushOptions(['strict', 'env=live'])).toMatchObject({ strict: true, environments: ['live'] })
  })

  it('that contradict each other are refused', () => {
    expect(() => parsePushOptions(['skip-deploy', 'env=live'])).toThrow('contradict each other')
    expect(() => parsePushOptions(['force-rebuild', 'skip-deploy'])).toThrow('contradict each other')
    expect(() => parsePushOptions(['strict', 'nowait'])).toThrow('nowait and strict contradict each other')
    expect(() => parsePushOptions(['strict', 'skip-deploy'])).toThrow('skip-deploy and strict contradict each other')
  })
})
