/** A time of day; minutes over 59 count on. */
export interface TimeOfDay {
  readonly hour: number
  readonly minute: number
}

export function parseTimeOfDay(text: string): TimeOfDay {
  const [hour = 0, minute = 0] = text.split(':').map(Number)
  return { hour, minute }
}

/**
 * Whether the night's work is due: when the newest such time of day that has passed is later than the last beginning. So a
 * night that was missed is made up for as soon as somebody looks, and a clock that jumped back does not stop the nights until
 * the lost time has come again.
 */
export function isDue(now: Date, lastBegun: Date | null, at: TimeOfDay): boolean {
  if (lastBegun === null || lastBegun > now) return true
  const scheduled = new Date(now)
  scheduled.setHours(at.hour, at.minute, 0, 0)
  while (scheduled > now) scheduled.setDate(scheduled.getDate() - 1)
  return lastBegun < scheduled
}
