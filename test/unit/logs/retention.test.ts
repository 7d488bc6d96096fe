import { describe, expect, it } from '@jest/globals'
import { type KeptPart, partsToRemove } from '../../../src/logs/retention.ts'

const limits = { releaseBytes: 30, environmentBytes: 50, ageMs: 1000 }
const part = (journal: string, number: number, fields: Partial<KeptPart> = {}): KeptPart => ({
  ...{ journal, number, bytes: 10, modifiedMs: 10_000 + number, open: false },
  ...fields,
})
const names = (parts: readonly KeptPart[]): string[] => parts.map(({ journal, number }) => `${journal}/${number}`)

describe('which parts of the logs go', () => {
  it('none while there is room', () => {
    expect(partsToRemove([part('v1', 1), part('v1', 2), part('v2', 3)], limits, 10_000)).toEqual([])
  })
  it('those that are too old, but not the one that is written to', () => {
    const old = { modifiedMs: 1 }
    expect(names(partsToRemove([part('v1', 1, old), part('v2', 1, { ...old, open: true })], limits, 10_000))).toEqual([
      'v1/1',
    ])
  })
  it('of a release that prints too much its own oldest, not those of others', () => {
    const parts = [part('v1', 1, { modifiedMs: 9_999 }), ...[1, 2, 3, 4].map((number) => part('v2', number))]
    expect(names(partsToRemove(parts, limits, 10_000))).toEqual(['v2/1'])
  })
  it('of an environment that has too much the oldest of all', () => {
    const parts = ['v1', 'v2', 'v3'].flatMap((v, i) => [part(v, i * 2), part(v, i * 2 + 1)])
    expect(names(partsToRemove(parts, limits, 10_000))).toEqual(['v1/0'])
  })
  it('one that is written to stays although it is too large', () => {
    expect(partsToRemove([part('v1', 1, { bytes: 1000, open: true })], limits, 10_000)).toEqual([])
  })
})
