import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { longestWaitMs, planAgreement, type Sibling, tellBroken } from '../../../src/deploys/agreement.ts'
import { type DeployState, type DeployStep, hasEnded, mayMove, stepsOf } from '../../../src/deploys/deploy.ts'
import { findAhead, placeOf, planArrival } from '../../../src/deploys/line.ts'
import { planNext } from '../../../src/deploys/plan.ts'

const sibling = (id: number, more: Partial<Sibling> = {}): Sibling => ({
  ...{ id, environmentId: id, environment: `e${id}`, state: 'running', isEnding: false, agreed: false },
  ...{ passedForMs: null, ...more },
})
const passed = { passedForMs: 5 }

describe('the deploys of a strict push', () => {
  it('swap when all have passed, and wait until then', () => {
    expect(planAgreement([sibling(1, passed), sibling(2)])).toEqual({ do: 'wait' })
    expect(planAgreement([sibling(1, passed), sibling(2, { state: 'waiting' })])).toEqual({ do: 'wait' })
    expect(planAgreement([sibling(1, passed), sibling(2, passed)])).toEqual({ do: 'agree' })
    expect(planAgreement([sibling(1, passed)])).toEqual({ do: 'agree' })
  })

  it.each([
    ['one has failed', sibling(2, { state: 'failed' })],
    ['one was cancelled', sibling(2, { ...passed, state: 'cancelled' })],
    ['one is asked to end', sibling(2, { ...passed, isEnding: true })],
  ])('end when %s', (_, broken) => {
    expect(planAgreement([sibling(1, passed), broken])).toEqual({ do: 'break', because: broken })
  })

  it('end when one has waited too long', () => {
    const late = sibling(1, { passedForMs: longestWaitMs + 1 })
    expect(planAgreement([late, sibling(2)])).toEqual({ do: 'break', because: null })
    expect(planAgreement([late, sibling(2, passed)])).toEqual({ do: 'agree' })
    expect(tellBroken(null)).toContain('within 60 minutes')
  })

  it('are left alone once they have agreed, or have all ended', () => {
    const agreed = { ...passed, agreed: true }
    expect(planAgreement([sibling(1, { ...agreed, state: 'failed' }), sibling(2, agreed)])).toEqual({ do: 'nothing' })
    expect(planAgreement([sibling(1, { state: 'failed' }), sibling(2, { state: 'failed' })])).toEqual({ do: 'nothing' })
  })

  it('name the one that ended by itself', () => {
    const because = sibling(3, { state: 'cancelled' })
    const told = planAgreement([sibling(1, { isEnding: true }), sibling(2, { isEnding: true }), because])
    expect(told).toEqual({ do: 'break', because })
    expect(tellBroken(because)).toBe(
      'The deploy to e3 of the same strict push was cancelled (deploy 3), so none of them swaps.',
    )
  })
})

interface Entry {
  readonly id: number
  readonly environmentId: number
  /** Null: not strict. */
  readonly push: number | null
  state: DeployState
  step: DeployStep | null
  done: DeployStep[]
  failed: boolean
  cancelRequested: boolean
  superseded: boolean
  agreed: boolean
}

type Happening =
  | { readonly do: 'strict'; readonly to: readonly number[] }
  | { readonly do: 'push'; readonly to: number }
  | { readonly do: 'step'; readonly in: number; readonly fails: boolean }
  | { readonly do: 'cancel'; readonly which: number }

const environments = [0, 1, 2]
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('strict' as const), to: fc.subarray(environments, { minLength: 1 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('push' as const), to: fc.constantFrom(...environments) }) },
  {
    weight: 15,
    arbitrary: fc.record({
      ...{ do: fc.constant('step' as const), in: fc.constantFrom(...environments) },
      fails: fc.nat(14).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(20) }) },
)

/** Three environments' lines, as their rows would tell. */
function makeLines() {
  const all: Entry[] = []
  let pushes = 0
  const open = (in_: number): Entry[] => all.filter((e) => e.environmentId === in_ && !hasEnded(e.state))
  const move = (entry: Entry, to: DeployState): void => {
    expect(mayMove(entry.state, to)).toBe(true)
    entry.state = to
  }
  const line = (in_: number) =>
    open(in_).map((e) => ({
      ...{ id: e.id, state: e.state as 'waiting' | 'running', step: e.step, waitsForSlot: false },
      ...{ ...placeOf('push', e.push !== null), isEnding: e.cancelRequested || e.failed, isHeld: false },
      ...{ isPush: true, awaitsOthers: e.state === 'running' && e.step === 'check' && !e.agreed },
    }))
  const find = (id: number): Entry => all.find((e) => e.id === id) as Entry
  const arrive = (environmentId: number, push: number | null): void => {
    const arrival = planArrival({ kind: 'push', strict: push !== null }, line(environmentId), 'running')
    for (const other of [...arrival.replaced, ...arrival.interrupted].map(find)) {
      // Strict ones neither replace nor are replaced.
      expect([push, other.push]).toEqual([null, null])
      other.superseded = true
    }
    for (const other of arrival.replaced.map(find)) move(other, 'superseded')
    for (const other of arrival.interrupted.map(find)) other.cancelRequested = true
    const begun = { state: 'waiting', step: null, done: [], failed: false, cancelRequested: false } as const
    all.push({ id: all.length + 1, environmentId, push, ...begun, done: [], superseded: false, agreed: false })
  }
  const settle = (): void => {
    for (let push = 1; push <= pushes; push += 1) {
      const siblings = all.filter((e) => e.push === push)
      const plan = planAgreement(
        siblings.map((e) => ({
          ...{ id: e.id, environmentId: e.environmentId, environment: `e${e.environmentId}`, state: e.state },
          ...{ isEnding: e.cancelRequested || e.failed, agreed: e.agreed },
          passedForMs: e.done.includes('check') ? 1 : null,
        })),
      )
      if (plan.do === 'agree') for (const e of siblings) e.agreed = true
      if (plan.do !== 'break') continue
      for (const e of siblings.filter(({ state }) => !hasEnded(state))) {
        if (e.state === 'waiting') move(e, 'failed')
        else e.cancelRequested = true
      }
    }
  }
  const step = (in_: number, fails: boolean): void => {
    const [first] = line(in_).filter(({ id }) => findAhead(line(in_), id).length === 0)
    if (first === undefined) return
    const entry = find(first.id)
    if (entry.state === 'waiting') move(entry, 'running')
    const { done, failed, cancelRequested, superseded, push, agreed } = entry
    const steps = stepsOf('push')
    const next = planNext({ steps, done, failed, cancelRequested, superseded, awaitsOthers: push !== null && !agreed })
    if ('end' in next) return move(entry, next.end)
    if (next.do === 'wait') return
    if (next.do === 'swap' && push !== null)
      for (const e of all.filter((other) => other.push === push)) expect(e.done).toContain('check')
    entry.step = next.do
    if (fails) entry.failed = true
    else {
      entry.done = [...done, next.do]
      if (next.do === 'swap') move(entry, 'live')
    }
  }
  const cancel = (which: number): void => {
    const those = environments.flatMap(open)
    const entry = those[which % Math.max(1, those.length)]
    if (entry === undefined || entry.step === 'swap' || entry.agreed) return
    if (entry.state === 'waiting') move(entry, 'cancelled')
    else entry.cancelRequested = true
  }
  return {
    all,
    apply(what: Happening): void {
      if (what.do === 'strict') {
        pushes += 1
        for (const to of what.to) arrive(to, pushes)
      } else if (what.do === 'push') arrive(what.to, null)
      else if (what.do === 'step') step(what.in, what.fails)
      else cancel(what.which)
      settle()
    },
    /** Nothing comes, and nothing fails any more. */
    finish(): void {
      for (let rounds = 0; environments.some((in_) => open(in_).length > 0); rounds += 1) {
        expect(rounds).toBeLessThan(20 * (all.length + 1))
        for (const in_ of environments) {
          step(in_, false)
          settle()
        }
      }
    },
  }
}

describe('every history of strict pushes', () => {
  it('lets nobody swap unless all of its push have passed, and nobody wait for ever', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 80 }), (happenings) => {
        const lines = makeLines()
        for (const what of happenings) lines.apply(what)
        lines.finish()
        for (const one of lines.all.filter(({ push, state }) => push !== null && state === 'live')) {
          // Where one went live, another can only have failed in its own swap.
          for (const other of lines.all.filter(({ push }) => push === one.push))
            expect([other.state, other.step]).toEqual([other.failed ? 'failed' : 'live', 'swap'])
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
