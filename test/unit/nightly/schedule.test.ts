import { describe, expect, it } from '@jest/globals'
import { isDue, parseTimeOfDay } from '../../../src/nightly/schedule.ts'

const at = parseTimeOfDay('03:30')
const time = (day: number, hour: number, minute = 0): Date => new Date(2026, 10, day, hour, minute)

describe('the night’s work is due', () => {
  it('when it was never done', () => {
    expect(isDue(time(21, 12), null, at)).toBe(true)
  })

  it('once a day, from its time on', () => {
    expect(isDue(time(21, 3, 29), time(20, 3, 31), at)).toBe(false)
    expect(isDue(time(21, 3, 30), time(20, 3, 31), at)).toBe(true)
    expect(isDue(time(21, 3, 32), time(21, 3, 31), at)).toBe(false)
    expect(isDue(time(21, 23), time(21, 3, 31), at)).toBe(false)
    expect(isDue(time(22, 0, 10), time(21, 3, 31), at)).toBe(false)
  })

  it('whenever somebody looks, when its time was missed', () => {
    expect(isDue(time(21, 9), time(20, 3, 31), at)).toBe(true)
    expect(isDue(time(21, 1), time(19, 3, 31), at)).toBe(true)
  })

  it('not a second time after it was made up for, until the next night', () => {
    expect(isDue(time(21, 15), time(21, 9), at)).toBe(false)
    expect(isDue(time(22, 3, 30), time(21, 9), at)).toBe(true)
  })

  it('when the last time lies ahead: the clock was wrong then', () => {
    expect(isDue(time(21, 12), new Date(2031, 0, 1), at)).toBe(true)
  })

  it('also when its time lies behind midnight by the jitter', () => {
    const late = { hour: 23, minute: 55 + 20 }
    expect(isDue(time(21, 0, 14), time(20, 0, 16), late)).toBe(false)
    expect(isDue(time(21, 0, 16), time(20, 0, 16), late)).toBe(true)
  })

  it('at every hour of a year at most once a day and never later than a day after', () => {
    let last = time(1, 0)
    let runs = 0
    for (let hour = 1; hour <= 365 * 24; hour++) {
      const now = new Date(2026, 10, 1, hour)
      expect(now.getTime() - last.getTime()).toBeLessThan(26 * 3600_000)
      if (isDue(now, last, at)) {
        last = now
        runs += 1
      }
    }
    expect(runs).toBe(365)
  })
})
