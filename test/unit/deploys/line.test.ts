import { describe, expect, it } from '@jest/globals'
import { describeWait, findAhead, type InLine, isHeldBy, placeOf, planArrival } from '../../../src/deploys/line.ts'

const entry = (
  id: number,
  given: Partial<InLine> & { kind?: 'push' | 'deploy' | 'promotion' | 'rollback' } = {},
): InLine => {
  const { kind = 'push', ...rest } = given
  const still = { waitsForSlot: false, isEnding: false, isHeld: false, awaitsOthers: false, isPush: kind === 'push' }
  return { id, state: 'waiting', step: null, ...still, ...placeOf(kind), ...rest }
}
const ids = (line: readonly InLine[]): number[] => line.map(({ id }) => id)

describe('what a newer deploy takes the place of', () => {
  it('is the waiting push, and nothing else that waits', () => {
    const line = [
      entry(1, { state: 'running', step: 'check' }),
      entry(2),
      entry(3, { kind: 'rollback' }),
      entry(4, { kind: 'promotion' }),
      entry(5, { kind: 'deploy' }),
    ]
    expect(planArrival({ kind: 'push' }, line, 'waiting')).toEqual({ replaced: [2], interrupted: [] })
    for (const kind of ['deploy', 'promotion', 'rollback'] as const) {
      expect(planArrival({ kind }, line, 'running')).toEqual({ replaced: [], interrupted: [] })
    }
  })

  it('is also a push whose build waits for a slot: nothing of it has begun', () => {
    const line = [entry(1, { state: 'running', step: 'build', waitsForSlot: true })]
    expect(planArrival({ kind: 'push' }, line, 'waiting')).toEqual({ replaced: [], interrupted: [1] })
  })

  it.each([
    [null, true],
    ['build', true],
    ['release-commands', false],
    ['start', false],
    ['check', false],
    ['swap', false],
  ] as const)('with supersede: running, in step %s: %s', (step, isInterrupted) => {
    const line = [entry(1, { state: 'running', step })]
    expect(planArrival({ kind: 'push' }, line, 'running').interrupted).toEqual(isInterrupted ? [1] : [])
    expect(planArrival({ kind: 'push' }, line, 'waiting').interrupted).toEqual([])
  })

  it('is never one that ends already, nor one that a person asked for', () => {
    const ending = entry(1, { state: 'running', step: 'build', isEnding: true })
    const byHand = entry(1, { state: 'running', step: 'build', kind: 'deploy', waitsForSlot: true })
    expect(planArrival({ kind: 'push' }, [ending], 'running').interrupted).toEqual([])
    expect(planArrival({ kind: 'push' }, [byHand], 'running').interrupted).toEqual([])
  })
})

describe('a rollback that holds pushes', () => {
  it('takes the place of every push that can still be ended, whatever the environment says, and of nothing else', () => {
    const line = [
      entry(1, { state: 'running', step: 'build' }),
      entry(2),
      entry(3, { kind: 'deploy' }),
      { ...entry(4), ...placeOf('push', true) },
    ]
    expect(planArrival({ kind: 'rollback', holds: true }, line, 'waiting')).toEqual({
      replaced: [2, 4],
      interrupted: [1],
    })
    for (const step of ['release-commands', 'start', 'check', 'swap'] as const) {
      const going = [entry(1, { state: 'running', step })]
      expect(planArrival({ kind: 'rollback', holds: true }, going, 'running').interrupted).toEqual([])
    }
  })
})

describe('a strict push that runs', () => {
  const strict = (given: Partial<InLine>): InLine => {
    return entry(1, { state: 'running', ...placeOf('push', true), ...given })
  }
  const holding = { kind: 'rollback', holds: true } as const

  it('ends for a rollback that holds pushes while it builds, and while it waits for others', () => {
    for (const given of [{ step: 'build' }, { step: 'check', awaitsOthers: true }] as const) {
      expect(planArrival(holding, [strict(given)], 'waiting').interrupted).toEqual([1])
      expect(planArrival({ kind: 'rollback' }, [strict(given)], 'running').interrupted).toEqual([])
      expect(planArrival({ kind: 'push' }, [strict(given)], 'running').interrupted).toEqual([])
    }
  })

  it('does not when all have passed, in the middle of its release commands, nor twice', () => {
    for (const given of [{ step: 'check' }, { step: 'release-commands' }, { step: 'swap' }] as const) {
      expect(planArrival(holding, [strict(given)], 'running').interrupted).toEqual([])
    }
    const ending = strict({ step: 'check', awaitsOthers: true, isEnding: true })
    expect(planArrival(holding, [ending], 'running').interrupted).toEqual([])
  })
})

describe('the order', () => {
  it('is: what runs, rollbacks, then as they came', () => {
    const line = [
      entry(1, { state: 'running' }),
      entry(2, { kind: 'deploy' }),
      entry(3, { kind: 'rollback' }),
      entry(4),
    ]
    expect(ids(findAhead(line, 4))).toEqual([1, 3, 2])
    expect(ids(findAhead(line, 3))).toEqual([1])
    expect(findAhead(line, 9)).toEqual([])
  })

  it('is told with the place', () => {
    const line = [entry(1, { state: 'running' }), entry(2, { kind: 'deploy' }), entry(4)]
    expect(describeWait(line, { id: 4, environment: 'test', lock: null })).toBe(
      'Waiting for deploy 1 of test to end (place 2 in the line)',
    )
    expect(describeWait([entry(2, { kind: 'rollback' }), entry(4)], { id: 4, environment: 'test', lock: null })).toBe(
      'Waiting for deploy 2 of test to begin (place 1 in the line)',
    )
    expect(describeWait([entry(4)], { id: 4, environment: 'test', lock: null })).toBeNull()
  })
})

describe('a lock', () => {
  const lock = { reason: 'sale', by: 'anna', since: new Date(0), waits: true, allowsRollbacks: false }

  it('holds all that brings something new, and rollbacks unless it lets them through', () => {
    for (const kind of ['push', 'deploy', 'promotion', 'rollback'] as const) {
      expect(isHeldBy(lock, { kind })).toBe(true)
      expect(isHeldBy(null, { kind })).toBe(false)
      expect(isHeldBy({ ...lock, allowsRollbacks: true }, { kind })).toBe(kind !== 'rollback')
    }
    for (const kind of ['restart', 'scale', 'start'] as const) expect(isHeldBy(lock, { kind })).toBe(false)
    // Going back by itself is no wish of anybody's.
    expect(isHeldBy(lock, { kind: 'rollback', reverts: 7 })).toBe(false)
  })

  it('lets what need not wait for it go first, and is what the others are told of', () => {
    const line = [
      entry(1, { state: 'running' }),
      entry(2, { kind: 'rollback', isHeld: true }),
      entry(3, { isHeld: true }),
      entry(4, { kind: 'deploy' }),
    ]
    expect(ids(findAhead(line, 3))).toEqual([1, 4, 2])
    expect(ids(findAhead(line, 4))).toEqual([1])
    expect(describeWait(line, { id: 3, environment: 'test', lock })).toBe(
      'Waiting for the unlock: test is locked by anna since 1970-01-01 00:00 UTC: “sale”',
    )
    expect(describeWait(line, { id: 4, environment: 'test', lock })).toMatch(/^Waiting for deploy 1 /)
  })
})
