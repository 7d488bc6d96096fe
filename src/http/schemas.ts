import { z } from 'zod'

/** Pieces that several resources share. */

export const nothing = z.strictObject({})
export const appParams = z.strictObject({ app: z.string().max(100) })
export const environmentParams = z.strictObject({ app: z.string().max(100), environment: z.string().max(100) })
export const deployParams = z.strictObject({
  id: z
    .string()
    .regex(/^[1-9][0-9]{0,14}$/, 'must be the number of a deploy')
    .transform(Number),
})

export const flag = z.enum(['true', 'false']).transform((value) => value === 'true')

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
