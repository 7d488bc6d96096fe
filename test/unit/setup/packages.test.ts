import { describe, expect, it } from '@jest/globals'
import { allowedWithoutAsking } from '../../../src/setup/packages.ts'

describe('installing without asking', () => {
  it('needs exactly SLIPWAY_YES=1 or CI=true', () => {
    expect(allowedWithoutAsking({ SLIPWAY_YES: '1' })).toBe(true)
    expect(allowedWithoutAsking({ CI: 'true' })).toBe(true)
    for (const env of [{}, { SLIPWAY_YES: '0' }, { SLIPWAY_YES: '' }, { CI: 'false' }, { CI: '' }]) {
      expect(allowedWithoutAsking(env)).toBe(false)
    }
  })
})
