import { z } from 'zod'
import { Secret } from '../../../kernel/secret.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { nothing } from '../../schemas.ts'

const progress = z.strictObject({
  /** Variables and snapshots of releases that are still sealed with an older key. */
  left: z.number().int(),
})
const begun = z.strictObject({
  ...progress.shape,
  /** False: whoever starts Slipway has to set SLIPWAY_SECRET_KEY to the new one. */
  isKept: z.boolean(),
})

export function keyRotationRoutes({ rotation }: Pick<HttpNeeds, 'rotation'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/server/key-rotation',
      tag: 'vars',
      summary: 'How far sealing everything anew is',
      action: 'vars.rotate-key',
      params: nothing,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'What is left; 0: it is done', schema: progress },
      about: () => null,
      handle: async () => ({ json: { left: await rotation.countLeft() } }),
    }),
    defineRoute({
      method: 'post',
      path: '/server/key-rotation',
      tag: 'vars',
      summary: 'Seal all variables with a new key; with secretKey that one takes the place of SLIPWAY_SECRET_KEY',
      action: 'vars.rotate-key',
      params: nothing,
      query: nothing,
      body: z.strictObject({
        secretKey: z
          .string()
          .regex(/^[\x21-\x7e]{32,512}$/, 'must have 32 to 512 visible characters')
          .optional(),
      }),
      success: { status: 202, description: 'It is begun; see how far it is at Location', schema: begun },
      about: () => null,
      async handle({ body, principal }) {
        const key = body.secretKey === undefined ? undefined : new Secret(body.secretKey)
        const { isKept } = await rotation.begin(principal.name, key)
        return { json: { left: await rotation.countLeft(), isKept }, location: '/api/v1/server/key-rotation' }
      },
    }),
  ]
}
