import { describe, expect, it } from '@jest/globals'
import { swapFigures } from '../../bench/figures.ts'
import type { LoadCounts } from '../../bench/load.ts'
import { median, percentile, ratios, renderTable } from '../../bench/table.ts'

const counts = (change: Partial<LoadCounts>): LoadCounts => ({
  ...{ answered: 4400, failed: 0, stale: 0, newConnections: 2100, opened: 50, cut: 0, refused: 0, latencies: [1] },
  ...change,
})

describe('the figures of the bench', () => {
  it('are medians of each round’s own ratio', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(percentile([1, 2, 3, 4, 5], 100)).toBe(5)
    expect(ratios([2, 9], [1, 3])).toEqual([2, 3])
  })

  it.each([
    ['a failed request', { failed: 1 }],
    ['an upgrade that was refused', { refused: 1 }],
    ['a cut websocket', { cut: 1 }],
    ['an answer of the old version', { stale: 1 }],
    ['too little load', { answered: 2600 }],
    ['too few new connections', { newConnections: 1900 }],
  ])('show %s', (_, change) => {
    const missed = (own: Partial<LoadCounts>, other: Partial<LoadCounts> = {}): number =>
      swapFigures('swap', { swaps: 1, seconds: 10, own: counts(own), other: counts(other) }).filter(
        (f) => f.met === false,
      ).length
    expect(missed({})).toBe(0)
    expect(missed(change)).toBe(1)
  })

  it('stand in one table', () => {
    const line = { figure: 'a', value: '1 ms', floor: '1 ms', ratio: 1.456, rounds: '7', aim: '≤ 1.3', met: false }
    expect(renderTable([line])).toBe(
      '| figure | measured | floor | ratio | rounds | spread | aim   | met |\n' +
        '| ------ | -------- | ----- | ----- | ------ | ------ | ----- | --- |\n' +
        '| a      | 1 ms     | 1 ms  | 1.46  | 7      |        | ≤ 1.3 | NO  |\n',
    )
  })
})
