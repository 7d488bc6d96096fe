import { describe, expect, it } from '@jest/globals'
import { parseAppConfig } from '../../../src/builds/app-config.ts'
import { cronJobsOf } from '../../../src/builds/cron-jobs.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

const jobsIn = (yaml: string | null) => cronJobsOf(parseAppConfig(yaml, null).config)

function mistakesIn(yaml: string): string[] {
  try {
    parseAppConfig(yaml, null)
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error
    expect(error.code).toBe('config_invalid')
    return error.evidence.length > 0 ? [...error.evidence] : [error.message.replace(/^.*?: (.*)\.$/, '$1')]
  }
  throw new Error('it was accepted')
}

describe('cron in slipway.yml', () => {
  it('is nothing unless something is said, in older builds too', () => {
    for (const nothing of [null, 'cron:', 'cron: []']) expect(jobsIn(nothing)).toEqual([])
    expect(cronJobsOf({})).toEqual([])
  })

  it('is read with its defaults', () => {
    const text = `
cron:
  - { label: clean-up, schedule: " 30  4 * * 1-5", run: "python manage.py clearsessions" }
  - label: report
    schedule: "@daily"
    timezone: Europe/Berlin
    timeout: 2h
    run: ./report
`
    expect(jobsIn(text)).toEqual([
      {
        label: 'clean-up',
        schedule: '30 4 * * 1-5',
        timezone: 'UTC',
        run: 'python manage.py clearsessions',
        timeoutMs: 3_600_000,
      },
      { label: 'report', schedule: '@daily', timezone: 'Europe/Berlin', run: './report', timeoutMs: 7_200_000 },
    ])
  })

  it('tells every mistake with its line', () => {
    const text = `port: 80
cron:
  - { label: a, schedule: "61 * * * *", run: x }
  - { label: "../b", schedule: "@reboot", run: x, timezone: "+02:00" }
  - label: c
    schedule: "* * * * *"
    run: x
    timeout: 25h
    shedule: x
  - { label: d, run: x }
`
    expect(mistakesIn(text)).toEqual([
      expect.stringMatching(/^line 3: cron\.1\.schedule names a time that there is not/),
      expect.stringMatching(/^line 4: cron\.2\.label must have 1 to 40 characters/),
      expect.stringMatching(/^line 4: cron\.2\.schedule must be five fields/),
      expect.stringMatching(/^line 4: cron\.2\.timezone must be the name of a time zone/),
      expect.stringMatching(/^line 8: cron\.3\.timeout must be between 1s and 24h/),
      expect.stringMatching(/^line 9: unknown key "cron\.3\.shedule" \(did you mean "schedule"\?\)/),
      'line 10: cron.4.schedule is missing',
    ])
    const twice = 'cron:\n- {label: a, schedule: "@daily", run: x}\n- {label: a, schedule: "@daily", run: x}\n'
    expect(mistakesIn(twice)).toEqual(['line 3: cron.2.label "a" is another job’s already'])
    expect(mistakesIn('cron: daily')).toEqual(['line 1: cron must be a list of jobs'])
  })

  it('has a limit', () => {
    const jobs = (count: number): string =>
      `cron:\n${Array.from({ length: count }, (_, i) => `- {label: j${i}, schedule: "@daily", run: x}\n`).join('')}`
    expect(jobsIn(jobs(50))).toHaveLength(50)
    expect(mistakesIn(jobs(51))).toEqual(['line 1: cron may hold at most 50 jobs'])
  })
})
