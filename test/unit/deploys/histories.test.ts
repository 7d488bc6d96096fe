import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import {
  type DeployKind,
  type DeployState,
  type DeployStep,
  hasEnded,
  mayMove,
  stepsOf,
} from '../../../src/deploys/deploy.ts'
import { describeWait, findAhead, type InLine, placeOf, planArrival } from '../../../src/deploys/line.ts'
import { planNext } from '../../../src/deploys/plan.ts'

/*
 * Random histories of one environment's line on the pure rules alone: what arrives, what is taken next, what the next step is.
 */

interface Entry {
  readonly id: number
  readonly kind: DeployKind
  state: DeployState
  step: DeployStep | null
  done: DeployStep[]
  waitsForSlot: boolean
  failed: boolean
  cancelRequested: boolean
  supersededBy: number | null
  /** How many that came later have begun before it. */
  passedBy: number
}

type Happening =
  | { readonly do: 'arrive'; readonly kind: DeployKind }
  | { readonly do: 'cancel'; readonly which: number }
  | { readonly do: 'step'; readonly fails: boolean }
  | { readonly do: 'crash' }
  | { readonly do: 'slot' }

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      kind: fc.constantFrom<DeployKind>('push', 'push', 'push', 'deploy', 'promotion', 'rollback'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(20) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('step' as const),
      fails: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'slot' as const }) },
)
const histories = fc.record({
  supersede: fc.constantFrom('waiting' as const, 'running' as const),
  happenings: fc.array(happening, { maxLength: 60 }),
})

/** The environment, as its rows would tell. */
function makeEnvironment(supersede: 'waiting' | 'running') {
  const all: Entry[] = []
  const open = (): Entry[] => all.filter(({ state }) => !hasEnded(state))
  const running = (): Entry[] => all.filter(({ state }) => state === 'running')
  const line = (): InLine[] =>
    open().map((e) => ({
      ...{ id: e.id, state: e.state as 'waiting' | 'running', step: e.step, waitsForSlot: e.waitsForSlot },
      ...{ ...placeOf(e.kind), isEnding: e.cancelRequested || e.failed, isHeld: false },
      ...{ isPush: e.kind === 'push', awaitsOthers: false },
    }))
  const move = (entry: Entry, to: DeployState): void => {
    expect(mayMove(entry.state, to)).toBe(true)
    entry.state = to
  }
  const find = (id: number): Entry => all.find((e) => e.id === id) as Entry

  const arrive = (kind: DeployKind): void => {
    const id = all.length + 1
    const { replaced, interrupted } = planArrival({ kind }, line(), supersede)
    for (const other of [...replaced, ...interrupted].map(find)) {
      // Only pushes replace, and only pushes are replaced.
      expect([kind, other.kind]).toEqual(['push', 'push'])
      other.supersededBy = id
    }
    for (const other of replaced.map(find)) move(other, 'superseded')
    for (const other of interrupted.map(find)) {
      // Nothing that cannot be taken back has begun.
      expect(['build', null]).toContain(other.step)
      expect(other.waitsForSlot || supersede === 'running').toBe(true)
      other.cancelRequested = true
    }
    const begun = { step: null, done: [], waitsForSlot: false, failed: false, cancelRequested: false }
    all.push({ id, kind, state: 'waiting', ...begun, supersededBy: null, passedBy: 0 })
    expect(open().filter((e) => e.state === 'waiting' && e.kind === 'push').length).toBeLessThanOrEqual(1)
  }

  /** The first of the line begins, when none runs. */
  const claim = (): void => {
    if (running().length > 0) return
    const next = line().find(({ id }) => findAhead(line(), id).length === 0)
    if (next === undefined) return expect(open()).toEqual([])
    const entry = find(next.id)
    expect(describeWait(line(), { id: entry.id, environment: 'test', lock: null })).toBeNull()
    for (const other of open().filter((e) => e.state === 'waiting' && e !== entry)) {
      if (other.kind === 'rollback') expect(entry.kind).toBe('rollback')
      if (other.id < entry.id) {
        // Order is kept, but that rollbacks go first.
        expect(entry.kind).toBe('rollback')
        expect(other.kind).not.toBe('rollback')
        other.passedBy += 1
      }
    }
    move(entry, 'running')
  }

  const step = (fails: boolean): void => {
    claim()
    expect(running().length).toBeLessThanOrEqual(1)
    const [entry] = running()
    if (entry === undefined) return
    const next = planNext({
      ...{ steps: stepsOf(entry.kind), done: entry.done, failed: entry.failed, cancelRequested: entry.cancelRequested },
      superseded: entry.supersededBy !== null,
      awaitsOthers: false,
    })
    if ('end' in next) {
      if (next.end === 'superseded') expect(entry.supersededBy).not.toBeNull()
      return move(entry, next.end)
    }
    if (next.do === 'wait') throw new Error('nobody waits for others here')
    entry.step = next.do
    if (fails) entry.failed = true
    else {
      entry.waitsForSlot = false
      entry.done = [...new Set([...entry.done, next.do])]
      if (next.do === 'swap') move(entry, 'live')
    }
  }

  return {
    all,
    open,
    apply(what: Happening): void {
      switch (what.do) {
        case 'arrive':
          return arrive(what.kind)
        case 'cancel': {
          const entry = open()[what.which % Math.max(1, open().length)]
          if (entry === undefined || entry.step === 'swap') return
          if (entry.state === 'waiting') return move(entry, 'cancelled')
          entry.cancelRequested = true
          return
        }
        case 'step':
          return step(what.fails)
        case 'crash':
          // What is recorded stays; what was being done is done again.
          for (const entry of running()) entry.waitsForSlot = false
          return
        case 'slot':
          for (const entry of running()) entry.waitsForSlot = entry.step === 'build' && !entry.done.includes('build')
          return
      }
    },
    finish(): void {
      for (let steps = 0; open().length > 0; steps += 1) {
        expect(steps).toBeLessThan(20 * (all.length + 1))
        step(false)
      }
    },
  }
}

describe('every history', () => {
  it('keeps the order of the line, replaces only pushes by pushes, and ends with nothing waiting', () => {
    fc.assert(
      fc.property(histories, ({ supersede, happenings }) => {
        const environment = makeEnvironment(supersede)
        for (const what of happenings) environment.apply(what)
        environment.finish()
        for (const entry of environment.all) {
          // Whoever was replaced can be told by which: a newer push.
          if (entry.state === 'superseded') {
            const by = environment.all.find(({ id }) => id === entry.supersededBy)
            expect(by?.kind).toBe('push')
            expect(by?.id).toBeGreaterThan(entry.id)
          }
          if (entry.state === 'live') expect(entry.done).toEqual(stepsOf(entry.kind))
        }
        // Nobody was passed but by rollbacks that came later.
        const rollbacks = environment.all.filter(({ kind }) => kind === 'rollback')
        for (const { id, passedBy } of environment.all)
          expect(passedBy).toBeLessThanOrEqual(rollbacks.filter((other) => other.id > id).length)
      }),
      { numRuns: 3_000 },
    )
  })

  it('of a deploy past its release commands is never interrupted by a push', () => {
    const steps = fc.constantFrom<DeployStep>('release-commands', 'start', 'check', 'swap')
    const supersede = fc.constantFrom('waiting' as const, 'running' as const)
    fc.assert(
      fc.property(steps, supersede, fc.boolean(), (step, setting, isEnding) => {
        const still = { waitsForSlot: false, isHeld: false, isPush: true, awaitsOthers: false }
        const line: InLine[] = [{ id: 1, state: 'running', step, ...still, isEnding, ...placeOf('push') }]
        expect(planArrival({ kind: 'push' }, line, setting).interrupted).toEqual([])
      }),
    )
  })
})
