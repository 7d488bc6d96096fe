import { describe, expect, it } from '@jest/globals'
import { allowedWithoutAsking } from '../../../src/setup/packages.ts'
import { isAtLeast } from '../../../src/setup/programs.ts'

describe('versions', () => {
  it('compare as numbers', () => {
    expect(isAtLeast('2.38', '2.38')).toBe(true)
    expect(isAtLeast('2.9', '2.38')).toBe(false)
    expect(isAtLeast('3.0', '2.38')).toBe(true)
    expect(isAtLeast('1.41', '1.5')).toBe(true)
  })
})

describe('installing without asking', () => {
  it('needs exactly SLIPWAY_YES=1 or CI=true', () => {
    expect(allowedWithoutAsking({ SLIPWAY_YES: '1' })).toBe(true)
    expect(allowedWithoutAsking({ CI: 'true' })).toBe(true)
    for (const env of [{}, { SLIPWAY_YES: '0' }, { SLIPWAY_YES: '' }, { CI: 'false' }, { CI: '' }]) {
      expect(allowedWithoutAsking(env)).toBe(false)
    }
  })
})
