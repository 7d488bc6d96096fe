import { describe, expect, it } from '@jest/globals'
import { assertScale, describeProcesses, type Wish } from '../../../src/deploys/scaling.ts'

const web = { name: 'web', run: null, instances: 1 }
const worker = { name: 'worker', run: 'work', instances: 2 }
const live = { app: 'shop', environment: 'live', live: true, processes: [web, worker] }
const test = { ...live, environment: 'test', live: false }

const refusal = (wish: Wish, where: Parameters<typeof assertScale>[1] = live): string => {
  try {
    assertScale(wish, where)
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

describe('a scale', () => {
  it('is taken within its limits', () => {
    for (const wish of [{ web: 1 }, { web: 50, worker: 0 }, { worker: null }, { web: null }])
      expect(refusal(wish)).toBe('')
    expect(refusal({ web: 1, worker: 50 }, test)).toBe('')
  })

  it.each([-1, 51, 10_000, 1.5, Number.NaN])('of %p is refused with the limit and its reason', (count) => {
    expect(refusal({ worker: count })).toBe(
      `worker can have 0 to 50 instances, not ${count}: all instances of an app share one machine.`,
    )
    expect(refusal({ web: count })).toMatch(/^web can have 1 to 50 instances, not /)
  })

  it('leaves web at least one, and exactly one where the environment is not live', () => {
    expect(refusal({ web: 0 })).toMatch(/^web needs at least one instance/)
    expect(refusal({ web: 2 }, test)).toMatch(/^Only the live environment has more than one web; test is/)
  })

  it('is for processes that there are; for any before the first deploy', () => {
    expect(refusal({ wroker: 1 })).toBe('What runs in live of shop has no process “wroker”.')
    expect(refusal({ wroker: 1 }, { ...live, processes: null })).toBe('')
    for (const name of ['Web', 'release', 'a b', '__proto__x', ''])
      expect(refusal({ [name]: 1 }, { ...live, processes: null })).toMatch(/cannot be scaled: such a name/)
  })
})

it('processes are described as they are and as the next deploy has them', () => {
  const asked = { by: 'ada', at: new Date(0) }
  const scale = new Map([['worker', { instances: 5, ...asked }]])
  const now = { live: true, scale, running: new Map([['web', 1]]) }
  expect(describeProcesses([web, worker], now)).toEqual([
    { name: 'web', run: null, running: 1, wanted: 1, scaled: null },
    { name: 'worker', run: 'work', running: 0, wanted: 5, scaled: asked },
  ])
})
