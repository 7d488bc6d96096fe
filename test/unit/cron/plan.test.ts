import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { type Failing, judgeEnd, mostCounted, planDue } from '../../../src/cron/plan.ts'
import { nextDue } from '../../../src/kernel/cron-schedule.ts'

const hourMs = 3_600_000
const minutely = { schedule: '* * * * *', timezone: 'UTC' }
const at = (text: string): Date => new Date(`2026-11-21T${text}Z`)

describe('a job that is due', () => {
  it('runs, and is due again later', () => {
    expect(planDue({ ...minutely, dueAt: at('10:00:00') }, at('10:00:00.030'))).toEqual({
      run: at('10:00:00'),
      missed: null,
      next: at('10:01:00'),
    })
  })

  it('runs once for all that was missed, if the last was missed within the hour', () => {
    expect(planDue({ ...minutely, dueAt: at('09:50:00') }, at('10:00:30'))).toEqual({
      run: at('10:00:00'),
      missed: { count: 10, from: at('09:50:00') },
      next: at('10:01:00'),
    })
    const daily = { schedule: '0 3 * * *', timezone: 'UTC', dueAt: at('03:00:00') }
    expect(planDue(daily, at('04:00:00')).run).toEqual(at('03:00:00'))
    expect(planDue(daily, at('04:00:01'))).toMatchObject({ run: null, missed: { count: 1 } })
  })

  it('is planned in no time, however long nobody was there', () => {
    const begun = performance.now()
    expect(planDue({ ...minutely, dueAt: new Date(0) }, at('10:00:00')).missed?.count).toBe(mostCounted - 1)
    expect(performance.now() - begun).toBeLessThan(2_000)
  })

  const schedule = fc.constantFrom('* * * * *', '*/7 * * * *', '15 3 * * *', '30 2 * * *', '@weekly', '0 0 1 * 1')
  const timezone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe')
  const begin = fc.integer({ min: Date.parse('2026-01-01'), max: Date.parse('2028-01-01') })
  const looks = fc.array(fc.oneof(fc.integer({ min: 1, max: 90_000 }), fc.integer({ min: 1, max: 4 * hourMs })), {
    minLength: 1,
    maxLength: 60,
  })

  it('is run or told as missed, each time once and in order, whenever somebody looks', () => {
    fc.assert(
      fc.property(schedule, timezone, begin, looks, (text, zone, beginMs, pauses) => {
        const job = { schedule: text, timezone: zone }
        let nowMs = beginMs
        let dueAt = nextDue(job, new Date(nowMs)) as Date
        let dealtWith = 0
        let lastRun = 0
        const first = dueAt
        for (const pauseMs of pauses) {
          nowMs += pauseMs
          const now = new Date(nowMs)
          if (dueAt > now) continue
          const { run, missed, next } = planDue({ ...job, dueAt }, now)
          dealtWith += (run === null ? 0 : 1) + (missed?.count ?? 0)
          if (run !== null) {
            expect(run <= now && run.getTime() > lastRun && nowMs - run.getTime() <= hourMs).toBe(true)
            lastRun = run.getTime()
          }
          expect((next as Date) > now).toBe(true)
          dueAt = next as Date
        }
        let wanted = 0
        for (let due: Date | null = first; due !== null && due.getTime() <= nowMs; due = nextDue(job, due)) wanted += 1
        expect(dealtWith).toBe(wanted)
      }),
      { numRuns: 60 },
    )
  })
})

describe('how a job ended', () => {
  const never: Failing = { failures: 0, failingSince: null, toldAt: null }

  it('is told when it fails first, each hour, and when it succeeds again', () => {
    let state = never
    const told: string[] = []
    for (let minute = 0; minute < 130; minute += 1) {
      const { after, tell } = judgeEnd(state, minute === 125, new Date(minute * 60_000))
      if (tell !== null) told.push(`${minute} ${tell} ${after.failures}`)
      state = after
    }
    expect(told).toEqual([
      ...['0 cron.failed 1', '60 cron.failed 61', '120 cron.failed 121', '125 cron.recovered 0', '126 cron.failed 1'],
    ])
  })
})
