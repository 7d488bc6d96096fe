import { Cron } from 'croner'

/*
 * Schedules as crontab(5) has them: minute, hour, day of month, month, day of week; or @hourly and its like. What the library knows
 * beyond that (seconds, years, L, W, #) is not taken: another implementation would understand it otherwise.
 */

export interface Schedule {
  readonly schedule: string
  /** IANA name. */
  readonly timezone: string
}

const nicknames = ['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually']
const names =
  '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat|[0-9]{1,2})(?:-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat|[0-9]{1,2}))?'
const item = `(?:\\*|${names})(?:/[0-9]{1,2})?`
const field = new RegExp(`^${item}(?:,${item}){0,60}$`, 'i')
const howTo = `must be five fields such as "30 4 * * 1-5" (minute, hour, day, month, weekday), or one of ${nicknames.join(', ')}`

/** Why a job cannot be scheduled so; null when it can. */
export function whyNotSchedule(text: string): string | null {
  if (text.startsWith('@')) return nicknames.includes(text) ? null : howTo
  const fields = text.split(' ')
  if (fields.length !== 5 || !fields.every((one) => field.test(one))) return howTo
  try {
    const next = read({ schedule: text, timezone: 'UTC' }).nextRun(new Date(0))
    return next === null ? 'would never be due: there is no such day' : null
  } catch {
    return `names a time that there is not, or a range from high to low; it ${howTo}`
  }
}

export function isTimezone(name: string): boolean {
  // Offsets such as +02:00 are none: what somebody means by them changes twice a year.
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,60}$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** When it is due next, after this moment; null: never again. */
export function nextDue(schedule: Schedule, after: Date): Date | null {
  return read(schedule).nextRun(after)
}

/** When it was due last, this moment included; null: never. */
export function lastDue(schedule: Schedule, until: Date): Date | null {
  return read(schedule).previousRuns(1, new Date(until.getTime() + 1))[0] ?? null
}

/** How often it is due from one moment to another, both included; no further than `most`. */
export function countDue(schedule: Schedule, from: Date, until: Date, most: number): number {
  let count = 0
  let due = nextDue(schedule, new Date(from.getTime() - 1))
  for (; due !== null && due <= until && count < most; due = nextDue(schedule, due)) count += 1
  return count
}

/** Where both days are named, either counts, as in crontab. */
function read({ schedule, timezone }: Schedule): Cron {
  return new Cron(schedule, { timezone, mode: '5-part', paused: true })
}
