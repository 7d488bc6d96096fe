import { describe, expect, it } from '@jest/globals'
import { readChoice, readPlace } from '../../../src/cli/release-words.ts'

describe('a release on the command line', () => {
  it('stands before or behind its environment, or at it, with or without its letter', () => {
    for (const words of [['v7', 'live'], ['live', 'v7'], ['live:v7'], ['7', 'live'], ['live', '7']]) {
      expect(readPlace(words, {})).toEqual({ environment: 'live', release: 'v7' })
      expect(readChoice(words, { env: 'live' })).toEqual({ environment: 'live', release: 'v7' })
    }
    expect(readPlace(['v7', undefined], { env: 'live' })).toEqual({ environment: 'live', release: 'v7' })
    expect(readPlace(['v7'], {})).toEqual({ environment: 'test', release: 'v7' })
    expect(readChoice(['live', undefined], {})).toEqual({ environment: 'live', release: null })
    expect(readChoice([undefined, undefined], {})).toEqual({ environment: 'test', release: null })
  })

  it('is asked for by what is wrong with it', () => {
    for (const [words, env, said] of [
      [['live'], undefined, '“live” is not a release: they are v1, v2, ….'],
      [['test', 'next'], undefined, '“next” is not a release: they are v1, v2, ….'],
      [['v0', 'live'], undefined, '“v0” is not a release: they are v1, v2, ….'],
      [['v7', 'v8'], undefined, 'v7 or v8? Give the release once.'],
      [['v7', 'live'], 'test', 'live or test? Give the environment once.'],
    ] as const) {
      expect(() => readPlace(words, env === undefined ? {} : { env })).toThrow(said)
    }
  })
})
