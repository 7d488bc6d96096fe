import { describe, expect, it } from '@jest/globals'
import { judgeNight } from '../../../src/doctor/night.ts'

const begunAt = new Date('2026-11-21T03:31:07.123Z')

describe('the nightly work', () => {
  it('is well before the first one, and when all of it was done', () => {
    const outcome = { images: { images: 3, leftOver: 0, seconds: 1 }, repositories: { tidied: 4, failed: 0 } }
    expect([judgeNight(null), judgeNight({ begunAt, outcome })]).toMatchObject([
      { status: 'ok', mend: null },
      { status: 'ok', what: 'It was done last at 2026-11-21T03:31:07Z' },
    ])
  })

  it('is told when a part of it failed, or a repository', () => {
    const outcome = {
      images: { error: 'The engine does not answer.', seconds: 15 },
      repositories: { tidied: 3, failed: 1 },
      events: { events: 0 },
    }
    expect(judgeNight({ begunAt, outcome })).toMatchObject({
      status: 'warn',
      what: 'At 2026-11-21T03:31:07Z: images: The engine does not answer; repositories: 1 could not be tidied',
      mend: expect.stringContaining('slipway.log'),
    })
  })
})
