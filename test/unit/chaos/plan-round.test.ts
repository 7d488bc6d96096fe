import { describe, expect, it } from '@jest/globals'
import { describeRound, faultKinds, planRound } from '../../chaos/plan-round.ts'

describe('a round of chaos', () => {
  it('is the same for the same seed and number, and another for another', () => {
    expect(planRound(7, 3, 3)).toEqual(planRound(7, 3, 3))
    expect(planRound(7, 3, 3)).not.toEqual(planRound(7, 4, 3))
    expect(planRound(7, 3, 3)).not.toEqual(planRound(8, 3, 3))
  })

  it('has pushes and faults in their order, and over many rounds every kind of them', () => {
    const rounds = Array.from({ length: 200 }, (_, i) => planRound(1, i, 3))
    for (const { pushes, faults } of rounds) {
      expect(pushes.length).toBeGreaterThan(1)
      expect(faults.length).toBeGreaterThan(0)
      for (const list of [pushes, faults]) {
        expect(list.map(({ atMs }) => atMs)).toEqual(list.map(({ atMs }) => atMs).toSorted((a, b) => a - b))
      }
    }
    expect(new Set(rounds.flatMap(({ faults }) => faults.map(({ kind }) => kind)))).toEqual(new Set(faultKinds))
    expect(new Set(rounds.flatMap(({ pushes }) => pushes.map(({ app }) => app)))).toEqual(new Set([0, 1, 2]))
  })

  it('can be told in one line', () => {
    expect(describeRound(planRound(1, 1, 3))).toMatch(/^\d+\.\d s \S.*push app-\d/)
  })
})
