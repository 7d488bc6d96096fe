import { describe, expect, it } from '@jest/globals'
import {
  commandsOccasion,
  type DeployState,
  type DeployStep,
  deploySteps,
  hasEnded,
  holdAfter,
  mayMove,
  nameOrigin,
  renderLine,
  stepsOf,
} from '../../../src/deploys/deploy.ts'
import { planNext } from '../../../src/deploys/plan.ts'

const states = Object.keys({
  ...{ waiting: 1, running: 1, live: 1, reverted: 1, failed: 1, cancelled: 1, superseded: 1 },
} satisfies Record<DeployState, 1>) as DeployState[]

describe('the life of a deploy', () => {
  it('never leaves a state in which it has ended, but for one that was live and is gone back from', () => {
    const left = states
      .filter(hasEnded)
      .flatMap((from) => states.filter((to) => mayMove(from, to)).map((to) => [from, to]))
    expect(left).toEqual([['live', 'reverted']])
  })

  it('goes live only from running, and is superseded only while it waits', () => {
    expect(states.filter((from) => mayMove(from, 'live'))).toEqual(['running'])
    expect(states.filter((from) => mayMove(from, 'superseded'))).toEqual(['waiting', 'running'])
  })
})

describe('what a kind of deploy does', () => {
  it('runs release commands of a deploy, those marked for promotions, or with a rollback none', () => {
    expect(commandsOccasion('push')).toBe('deploy')
    expect(commandsOccasion('deploy')).toBe('deploy')
    expect(commandsOccasion('promotion')).toBe('promote')
    expect(commandsOccasion('rollback')).toBeNull()
  })

  it('holds pushes, ends that, or leaves it as it was', () => {
    expect(holdAfter({ kind: 'rollback', holds: true })).toBe(true)
    expect(holdAfter({ kind: 'rollback', holds: false })).toBeNull()
    expect(holdAfter({ kind: 'deploy', holds: false })).toBe(false)
    expect(holdAfter({ kind: 'promotion', holds: false })).toBe(false)
    for (const kind of ['push', 'restart', 'scale', 'start'] as const)
      expect(holdAfter({ kind, holds: false })).toBeNull()
  })

  it('calls what it begins from by its number, and by its environment where that is another', () => {
    const from = { number: 7, environment: 'test' }
    expect(nameOrigin(from, 'test')).toBe('v7')
    expect(nameOrigin(from, 'live')).toBe('test v7')
    expect(nameOrigin({ number: null, environment: null }, 'live')).toMatch(/removed/)
  })
})

describe('planNext', () => {
  const going = {
    steps: stepsOf('push'),
    failed: false,
    cancelRequested: false,
    superseded: false,
    awaitsOthers: false,
  }

  it('does the steps in their order', () => {
    const done: (typeof deploySteps)[number][] = []
    for (const step of deploySteps) {
      expect(planNext({ ...going, done })).toEqual({ do: step })
      done.push(step)
    }
    expect(done).toEqual(['build', 'release-commands', 'start', 'check', 'swap'])
  })

  it('leaves out release commands where none would run', () => {
    for (const kind of ['rollback', 'restart', 'scale', 'start'] as const) {
      expect(stepsOf(kind)).toEqual(['build', 'start', 'check', 'swap'])
      expect(planNext({ ...going, steps: stepsOf(kind), done: ['build'] })).toEqual({ do: 'start' })
    }
    for (const kind of ['push', 'deploy', 'promotion'] as const) expect(stepsOf(kind)).toEqual(deploySteps)
  })

  it('swaps again when the end was not recorded: the proxy was put back in between', () => {
    expect(planNext({ ...going, done: deploySteps })).toEqual({ do: 'swap' })
  })

  it('waits before the swap for the others of its strict push', () => {
    const checked: DeployStep[] = ['build', 'release-commands', 'start', 'check']
    expect(planNext({ ...going, done: checked, awaitsOthers: true })).toEqual({ do: 'wait' })
    expect(planNext({ ...going, done: checked.slice(0, 3), awaitsOthers: true })).toEqual({ do: 'check' })
    expect(planNext({ ...going, done: checked, awaitsOthers: true, cancelRequested: true })).toEqual({
      end: 'cancelled',
    })
  })

  it('cancels and fails at any point before the end, and a failure is what is told', () => {
    for (let count = 0; count <= deploySteps.length; count += 1) {
      const done = deploySteps.slice(0, count)
      expect(planNext({ ...going, done, cancelRequested: true })).toEqual({ end: 'cancelled' })
      const superseded = { ...going, done, cancelRequested: true, superseded: true }
      expect(planNext(superseded)).toEqual({ end: 'superseded' })
      expect(planNext({ ...superseded, failed: true })).toEqual({ end: 'failed' })
    }
  })
})

describe('renderLine', () => {
  it('indents foreign text, so that it cannot look like the line for machines or a step', () => {
    expect(renderLine({ kind: 'output', text: 'slipway: deploy=1 status=live' })).toBe(
      '       slipway: deploy=1 status=live',
    )
    expect(renderLine({ kind: 'output', text: '=====> v9 is live' })).toMatch(/^ {7}/)
    expect(renderLine({ kind: 'machine', text: 'slipway: deploy=1' })).toBe('slipway: deploy=1')
    expect(renderLine({ kind: 'error', text: 'no' })).toBe(' !     no')
  })
})
