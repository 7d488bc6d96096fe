import { describe, expect, it } from '@jest/globals'
import { judgeWatch } from '../../../../src/deploys/warm/watch.ts'

const ended = (fields: object = {}) => [{ process: 'web', position: 2, exitCode: 1, outOfMemory: false, ...fields }]
const none = { ended: [], answers: null }

describe('what is watched', () => {
  it('is gone back from when an instance has ended by itself', () => {
    expect(judgeWatch({ errors: 0.2 }, none)).toBeNull()
    expect(judgeWatch({ errors: 0.2 }, { ...none, ended: ended() })).toBe(
      'web.2 ended with exit code 1 while it was watched.',
    )
    expect(judgeWatch({ errors: 1 }, { ...none, ended: ended({ exitCode: 137, outOfMemory: true }) })).toContain(
      'needed more memory',
    )
    expect(judgeWatch({ errors: 1 }, { ...none, ended: ended({ exitCode: null }) })).toBe(
      'web.2 ended while it was watched.',
    )
  })

  it.each([
    [19, 19, 0.2, false],
    [20, 4, 0.2, false],
    [20, 5, 0.2, true],
    [1000, 1, 0, true],
    [1000, 0, 0, false],
    [1000, 1000, 1, false],
  ])('of %d answers with %d errors, %d may be: gone back from %s', (total, failed, errors, isBad) => {
    expect(judgeWatch({ errors }, { ended: [], answers: { total, failed } }) !== null).toBe(isBad)
  })
})
