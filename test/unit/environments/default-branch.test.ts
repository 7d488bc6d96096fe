import { describe, expect, it } from '@jest/globals'
import { chooseDefaultBranch } from '../../../src/environments/index.ts'

describe('the default branch', () => {
  it.each<[string, string | null, string[], string | null]>([
    ['nothing yet', null, [], null],
    ['the first pushed', null, ['trunk'], 'trunk'],
    ['a usual name before others of the same push', null, ['a', 'develop', 'main'], 'main'],
    ['develop alone', null, ['develop'], 'develop'],
    ['a usual name takes over from an unusual one', 'trunk', ['master'], 'master'],
    ['a usual name stays', 'develop', ['main'], 'develop'],
    ['an unusual one stays among others like it', 'trunk', ['other'], 'trunk'],
  ])('%s', (_name, current, arrived, expected) => {
    expect(chooseDefaultBranch(current, arrived)).toBe(expected)
  })
})
