import type { Request } from 'express'
import { z } from 'zod'
import { SlipwayError } from '../kernel/errors.ts'

/** Pieces that several resources share. */

export const nothing = z.strictObject({})
/**
 * A name as somebody asks for it: it need not be well-formed, since there is none such then, but it holds no control
 * characters.
 */
export const name = z.string().regex(/^[\u0020-\u007e\u00a0-\uffff]{1,100}$/, 'is not a name')

export const appParams = z.strictObject({ app: name })
export const environmentParams = z.strictObject({ app: name, environment: name })
export const deployParams = z.strictObject({
  id: z
    .string()
    .regex(/^[1-9][0-9]{0,14}$/, 'must be the number of a deploy')
    .transform(Number),
})

export const flag = z.enum(['true', 'false']).transform((value) => value === 'true')

/** What a removal takes, and answers. */
export const removalQuery = z.strictObject({ cancel: flag.default(false) })
export const removalBegun = z.strictObject({
  /** Deploys that still run: they end first. */
  waitsFor: z.array(z.number().int()),
})

const releaseName = /^v?([1-9][0-9]{0,8})$/
/** `v12`, or 12. */
export const releaseNumber = z
  .string()
  .regex(releaseName, 'must be a release such as v12')
  .transform((text) => Number(releaseName.exec(text)?.[1]))

/** A whole number from `min` to `max`, as it stands in a query. */
export function count(min: number, max: number) {
  return z
    .string()
    .regex(/^[0-9]{1,9}$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`)
}

export const time = z.iso.datetime()
export const isoTime = (date: Date): string => date.toISOString()
export const isoTimeOrNull = (date: Date | null): string | null => (date === null ? null : date.toISOString())

/** The version that a change is for, from `If-Match: "7"`; nothing without the header or with `*`. */
export function versionFrom({ headers }: Pick<Request, 'headers'>): { ifVersion?: number } {
  const given = headers['if-match']?.trim()
  if (given === undefined || given === '*') return {}
  const version = /^"?([1-9][0-9]{0,8})"?$/.exec(given)?.[1]
  if (version !== undefined) return { ifVersion: Number(version) }
  throw new SlipwayError('bad_request', 'The header If-Match must hold one version, like “"7"”, or “*”.')
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sinceError = 'must be a time such as 2026-11-21T10:00:00Z, or how long ago: 90s, 10m, 2h, 3d'
/** A time, or how long ago. */
export const since = z.string().transform((text, context) => {
  const [, amount, unit] = /^([0-9]{1,9})([smhd])$/.exec(text) ?? []
  const ms = amount === undefined ? Number.NaN : Number(amount) * unitMs[unit as keyof typeof unitMs]
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text)
  const date = new Date(Number.isNaN(ms) ? (isTime ? Date.parse(text) : Number.NaN) : Date.now() - ms)
  if (!Number.isNaN(date.getTime())) return date
  context.addIssue({ code: 'custom', message: sinceError })
  return z.NEVER
})
