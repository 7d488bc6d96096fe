import { z } from 'zod'

/*
 * The small languages inside slipway.yml: durations, sizes, status ranges, paths. Each is a zod schema from what a person
 * writes to what the code uses.
 */

const written = (error: string): z.ZodType<string | number> => z.union([z.string(), z.number()], { error })

const duration = /^(\d{1,9}(?:\.\d{1,3})?)\s?(ms|s|m|h)$/
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** `500ms`, `1.5s`, `2m`, `1h` → milliseconds, inside the two limits. */
export function durationMs(limits: { from: string; to: string }): z.ZodType<number> {
  const [from, to] = [parseDuration(limits.from) ?? 0, parseDuration(limits.to) ?? Infinity]
  return written('must be a time with its unit, such as 500ms, 30s or 2m').transform((text, context) => {
    const ms = parseDuration(String(text).trim())
    if (ms !== null && ms >= from && ms <= to) return ms
    context.addIssue({
      code: 'custom',
      message:
        ms === null
          ? `must be a time with its unit, such as 500ms, 30s or 2m`
          : `must be between ${limits.from} and ${limits.to}`,
    })
    return z.NEVER
  })
}

function parseDuration(text: string): number | null {
  // A bare 0 needs no unit.
  if (text === '0') return 0
  const [, number, unit] = duration.exec(text) ?? []
  return number === undefined || unit === undefined ? null : Math.round(Number(number) * (unitMs[unit] ?? Number.NaN))
}

const size = /^(\d{1,9}(?:\.\d{1,3})?)\s?([kmg])(?:i?b)?$/i
const unitBytes: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** `512m`, `1g`, `1.5GiB` → bytes. Units are binary, as the engine's are. */
export function sizeBytes(limits: { from: string; to: string }): z.ZodType<number> {
  const [from, to] = [parseSize(limits.from) ?? 0, parseSize(limits.to) ?? Infinity]
  return written('must be a size with its unit, such as 512m or 1g').transform((text, context) => {
    const bytes = parseSize(String(text).trim())
    if (bytes !== null && bytes >= from && bytes <= to) return bytes
    context.addIssue({
      code: 'custom',
      message:
        bytes === null
          ? 'must be a size with its unit, such as 512m or 1g'
          : `must be between ${limits.from} and ${limits.to}`,
    })
    return z.NEVER
  })
}

function parseSize(text: string): number | null {
  const [, number, unit] = size.exec(text) ?? []
  if (number === undefined || unit === undefined) return null
  return Math.floor(Number(number) * (unitBytes[unit.toLowerCase()] ?? Number.NaN))
}

const statuses = /^([1-5]\d\d)(?:\s?-\s?([1-5]\d\d))?$/

/** `204` or `200-399` → both ends, included. */
export const statusRange = written('must be an HTTP status such as 204, or a range such as 200-399').transform(
  (text, context) => {
    const [, from, to] = statuses.exec(String(text).trim()) ?? []
    const range = { from: Number(from), to: Number(to ?? from) }
    if (from !== undefined && range.from <= range.to) return range
    context.addIssue({ code: 'custom', message: 'must be an HTTP status such as 204, or a range such as 200-399' })
    return z.NEVER
  },
)

// Without them a value cannot leave its line in a log or a label.
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/** One line of text without control characters. */
export function line(longest: number): z.ZodType<string> {
  return z
    .string({ error: 'must be a text' })
    .refine((text) => text.trim() !== '', 'must not be empty')
    .refine((text) => text.length <= longest, `must have at most ${longest} characters`)
    .refine((text) => !control.test(text), 'must be one line without control characters')
}

/** A path inside a folder of the repository: relative, without `..`; './' and doubled slashes are cleaned away. */
export const insidePath = line(1000).transform((text, context) => {
  const parts = text.split('/').filter((part) => part !== '' && part !== '.')
  if (text.startsWith('/') || parts.includes('..') || text.includes('\\')) {
    context.addIssue({ code: 'custom', message: 'must be a path inside the repository, without ".."' })
    return z.NEVER
  }
  return parts.length === 0 ? '.' : parts.join('/')
})
