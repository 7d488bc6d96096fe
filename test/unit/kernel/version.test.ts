import { describe, expect, it } from '@jest/globals'
import { isAtLeast } from '../../../src/kernel/version.ts'

describe('versions', () => {
  it('compare as numbers', () => {
    expect(isAtLeast('2.38', '2.38')).toBe(true)
    expect(isAtLeast('2.9', '2.38')).toBe(false)
    expect(isAtLeast('3.0', '2.38')).toBe(true)
    expect(isAtLeast('1.41', '1.5')).toBe(true)
    expect(isAtLeast('2.39.1', '2.39')).toBe(true)
  })
})
