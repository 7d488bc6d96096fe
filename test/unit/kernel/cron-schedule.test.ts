import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { countDue, isTimezone, lastDue, nextDue, whyNotSchedule } from '../../../src/kernel/cron-schedule.ts'

const at = (text: string): Date => new Date(text)
const dues = (schedule: string, timezone: string, from: string, count: number): string[] => {
  const found: string[] = []
  for (let due = nextDue({ schedule, timezone }, at(from)); due !== null && found.length < count; ) {
    found.push(due.toISOString().slice(0, 16))
    due = nextDue({ schedule, timezone }, due)
  }
  return found
}

describe('a schedule', () => {
  it('has five fields or a nickname', () => {
    const good = [
      '* * * * *',
      '*/5 0-6,22,23 1,15 * 1-5',
      '0 0 1 jan MON',
      '30 4 * FEB-APR,12 sun',
      '0 0 * * 7',
      '10-50/10 * * * *',
      '0 0 29 2 *',
      ...['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually'],
    ]
    for (const schedule of good) expect([schedule, whyNotSchedule(schedule)]).toEqual([schedule, null])
  })

  it('is refused when it is nonsense, or what only some programs know', () => {
    const bad = [
      ...['', 'x', '* * * *', '* * * * * *', '60 * * * *', '* 24 * * *', '0 0 0 * *', '0 0 * 13 *', '0 0 * * 8'],
      ...['*/0 * * * *', '*/61 * * * *', '5-1 * * * *', '1,,2 * * * *', ',1 * * * *', '-1 * * * *', '1.5 * * * *'],
      ...['@reboot', '@every 5m', '@HOURLY', '0 0 L * *', '0 0 15W * *', '0 0 * * 1#2', '0 0 ? * *', '0 0 * * +1'],
      ...['2030-01-23T00:00:00', 'a b c d e', '* * * * *; rm', '٣ * * * *', `${'1,'.repeat(100)}1 * * * *`],
      ...['mon * * * *', '* * * * jan', '0 0 30 2 *', '0 0 31 4,6,9,11 *'],
    ]
    for (const schedule of bad) expect([schedule, typeof whyNotSchedule(schedule)]).toEqual([schedule, 'string'])
    expect(whyNotSchedule('0 0 30 2 *')).toBe('would never be due: there is no such day')
  })

  it('never fails in another way than by saying so, and answers at once', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9*,/ @a-z-]{0,40}$/), (text) => {
        const why = whyNotSchedule(text)
        if (why === null) expect(nextDue({ schedule: text, timezone: 'UTC' }, new Date(0))).toBeInstanceOf(Date)
      }),
    )
  })

  it('counts either day where both are named, as crontab does', () => {
    expect(dues('0 0 13 * 5', 'UTC', '2026-11-01T00:00:00Z', 3)).toEqual([
      ...['2026-11-06T00:00', '2026-11-13T00:00', '2026-11-20T00:00'],
    ])
    expect(dues('0 0 14 * 5', 'UTC', '2026-11-12T00:00:00Z', 2)).toEqual(['2026-11-13T00:00', '2026-11-14T00:00'])
  })
})

describe('where clocks change', () => {
  const zone = 'Europe/Berlin'

  it('what falls into the hour that is left out is done right after it, once', () => {
    expect(dues('30 2 * * *', zone, '2026-03-28T00:00:00Z', 3)).toEqual([
      ...['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30'],
    ])
  })

  it('what falls into the hour that comes twice is done the first time, and what goes on all day goes on', () => {
    expect(dues('30 2 * * *', zone, '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30'])
    expect(dues('*/30 * * * *', zone, '2026-10-24T23:40:00Z', 5)).toEqual([
      ...['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-25T01:00', '2026-10-25T01:30', '2026-10-25T02:00'],
    ])
  })

  it('zones are known by their names only', () => {
    expect(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires'].every(isTimezone)).toBe(true)
    expect(['', '+02:00', 'Nowhere/City', '../etc', 'Europe Berlin', `E${'u'.repeat(99)}`].some(isTimezone)).toBe(false)
  })
})

describe('what was due', () => {
  const schedule = fc.constantFrom('* * * * *', '*/7 * * * *', '15 3 * * *', '@hourly', '0 0 1 * 1', '30 2 * * *')
  const timezone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe')
  const ms = fc.integer({ min: Date.parse('2026-01-01'), max: Date.parse('2028-01-01') })

  it('last, is the newest of those that are counted', () => {
    fc.assert(
      fc.property(schedule, timezone, ms, fc.integer({ min: 0, max: 86_400_000 }), (text, zone, fromMs, spanMs) => {
        const job = { schedule: text, timezone: zone }
        const [from, until] = [new Date(fromMs), new Date(fromMs + spanMs)]
        const last = lastDue(job, until)
        const isInside = last !== null && last >= from
        expect(countDue(job, from, until, 5) > 0).toBe(isInside)
        if (last === null) return
        expect(last <= until).toBe(true)
        const next = nextDue(job, last)
        expect(next === null || next > until).toBe(true)
      }),
    )
  })

  it('is counted so far and no further', () => {
    const job = { schedule: '* * * * *', timezone: 'UTC' }
    expect(countDue(job, at('2026-01-01T00:00:00Z'), at('2026-01-01T00:10:00Z'), 100)).toBe(11)
    expect(countDue(job, at('2026-01-01T00:00:00Z'), at('2027-01-01T00:00:00Z'), 100)).toBe(100)
  })
})
