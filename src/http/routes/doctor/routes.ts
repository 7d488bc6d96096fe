import { z } from 'zod'
import { asSlipwayError } from '../../../kernel/errors.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { nothing } from '../../schemas.ts'

const finding = z.strictObject({
  check: z.string(),
  status: z.enum(['ok', 'warn', 'fail']),
  what: z.string(),
  why: z.string(),
  /** What to do about it; null when all is well. */
  mend: z.string().nullable(),
})

const difference = z.strictObject({ what: z.string(), why: z.string(), then: z.string() })
const mended = z.strictObject({
  ...difference.shape,
  /** Why it could not be mended. */
  failed: z.string().nullable(),
})

export const examinationSchema = z.strictObject({
  findings: z.array(finding),
  /** What is not as the database wants it, and what would be done; null when something that must be asked does not answer. */
  differences: z.array(difference).nullable(),
  /** How many there are: the list is cut. */
  differenceCount: z.number().int(),
  /** Why nothing is known of differences. */
  unknown: z.string().nullable(),
})

export const repairSchema = z.strictObject({ mended: z.array(mended), mendedCount: z.number().int() })

/** A proxy that lost its maps differs in everything it has. */
const longest = 200

export function doctorRoutes({ deploys, examine }: Pick<HttpNeeds, 'deploys' | 'examine'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/doctor',
      tag: 'server',
      summary: 'What is wrong with the machine and with what Slipway stands on, and what differs from what is wanted',
      action: 'server.read',
      params: nothing,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'Findings and differences; nothing is changed', schema: examinationSchema },
      about: () => null,
      async handle() {
        const [findings, compared] = await Promise.all([
          examine(),
          deploys.findDifferences().then(
            (all) => ({ all, unknown: null }),
            (error: unknown) => ({ all: null, unknown: asSlipwayError(error).message }),
          ),
        ])
        const differences = compared.all?.slice(0, longest).map(({ what, why, then }) => ({ what, why, then })) ?? null
        const differenceCount = compared.all?.length ?? 0
        return { json: { findings, differences, differenceCount, unknown: compared.unknown } }
      },
    }),
    defineRoute({
      method: 'post',
      path: '/doctor/repairs',
      tag: 'server',
      summary: 'Mend what differs: what is done every 30 s anyway, at once',
      action: 'server.repair',
      params: nothing,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'What was done', schema: repairSchema },
      about: () => null,
      async handle() {
        const all = (await deploys.reconcile()).mended
        const shown = all.slice(0, longest).map(({ what, why, then, failed }) => ({ what, why, then, failed }))
        return { json: { mended: shown, mendedCount: all.length } }
      },
    }),
  ]
}
