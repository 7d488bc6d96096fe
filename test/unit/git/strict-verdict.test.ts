import { describe, expect, it } from '@jest/globals'
import { judgeStrict, type StrictDeploy } from '../../../src/git/strict-verdict.ts'

const deploy = (id: number, environment: string, state: StrictDeploy['state']): StrictDeploy => ({
  ...{ id, environment, state },
})

describe('a strict push', () => {
  it('is judged when all of its deploys have ended', () => {
    expect(judgeStrict([deploy(1, 'test', 'live'), deploy(2, 'live', 'running')], 2)).toBeNull()
    expect(judgeStrict([deploy(1, 'test', 'failed'), deploy(2, 'live', 'waiting')], 2)).toBeNull()
  })

  it('is accepted when every one is live, and when it caused none', () => {
    expect(judgeStrict([deploy(1, 'test', 'live'), deploy(2, 'live', 'live')], 2)).toMatchObject({ accepted: true })
    expect(judgeStrict([], 0)).toMatchObject({ accepted: true })
  })

  it.each([
    [
      [deploy(1, 'test', 'cancelled'), deploy(2, 'live', 'failed')],
      2,
      'strict: deploy 1 to test: cancelled, deploy 2 to live: failed',
    ],
    [
      [deploy(1, 'test', 'live'), deploy(2, 'live', 'failed')],
      2,
      'strict: deploy 2 to live: failed; it is live in test',
    ],
    [[deploy(1, 'test', 'live')], 2, 'strict: an environment was removed; it is live in test'],
  ])('is rejected otherwise, and it is said why', (deploys, expected, reason) => {
    expect(judgeStrict(deploys, expected)).toEqual({ accepted: false, reason, deploys })
  })
})
