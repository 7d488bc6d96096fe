import { describe, expect, it } from '@jest/globals'
import { type DeployState, deploySteps, hasEnded, mayMove, renderLine } from '../../../src/deploys/deploy.ts'
import { planNext } from '../../../src/deploys/plan.ts'

const states: DeployState[] = ['waiting', 'running', 'live', 'failed', 'cancelled', 'superseded']

describe('the life of a deploy', () => {
  it('never leaves a state in which it has ended', () => {
    for (const from of states.filter(hasEnded)) {
      for (const to of states) expect(mayMove(from, to)).toBe(false)
    }
  })

  it('goes live only from running, and is superseded only while it waits', () => {
    expect(states.filter((from) => mayMove(from, 'live'))).toEqual(['running'])
    expect(states.filter((from) => mayMove(from, 'superseded'))).toEqual(['waiting'])
  })
})

describe('planNext', () => {
  it('does the steps in their order and then ends live', () => {
    const done: (typeof deploySteps)[number][] = []
    for (const step of deploySteps) {
      expect(planNext({ done, cancelRequested: false })).toEqual({ do: step })
      done.push(step)
    }
    expect(done).toEqual(['build', 'release-commands', 'start', 'check', 'swap'])
    expect(planNext({ done, cancelRequested: false })).toEqual({ end: 'live' })
  })

  it('cancels before any step, but not after the swap', () => {
    for (let count = 0; count < deploySteps.length; count += 1) {
      expect(planNext({ done: deploySteps.slice(0, count), cancelRequested: true })).toEqual({ end: 'cancelled' })
    }
    expect(planNext({ done: deploySteps, cancelRequested: true })).toEqual({ end: 'live' })
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
