import { z } from 'zod'
import type { Variable } from '../../../vars/index.ts'
import { isoTime, time } from '../../schemas.ts'

export const variableSchema = z.strictObject({
  name: z.string(),
  /** Null unless it was asked for, and always null for a secret. */
  value: z.string().nullable(),
  secret: z.boolean(),
  build: z.boolean(),
  /** The environment's version since when it is as it is; what `ifVersion` names. */
  version: z.number().int(),
  changedBy: z.string(),
  changedAt: time,
})

export function presentVariable(variable: Variable, value: string | null): z.input<typeof variableSchema> {
  const { name, secret, build, version, changedBy, changedAt } = variable
  return { name, value, secret, build, version, changedBy, changedAt: isoTime(changedAt) }
}
