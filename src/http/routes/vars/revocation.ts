import { z } from 'zod'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, nothing, releaseNumber } from '../../schemas.ts'

const release = z.string()

export const revokedSchema = z.strictObject({
  name: z.string(),
  /** Of the app, the one that was asked about among them. */
  environments: z.array(
    z.strictObject({
      environment: z.string(),
      /** Its variable had the value: it has the new one, or is gone. */
      variable: z.boolean(),
      /** How many of its releases had it. */
      releases: z.number().int(),
      /** Releases of which something runs that started with it, until they are started anew. */
      running: z.array(z.strictObject({ release, serves: z.boolean() })),
    }),
  ),
  /** Deploys that had begun with it; those whose traffic was being moved do not end. */
  begun: z.array(z.strictObject({ deploy: z.number().int(), environment: z.string(), ends: z.boolean() })),
  /** Runs and jobs that have it until they end; null when the engine did not answer in time. `job` null: of `slipway run`. */
  goingOn: z.array(z.strictObject({ environment: z.string(), release, job: z.string().nullable() })).nullable(),
  /** Releases whose images were built with it: they hold it for as long as they are kept. */
  images: z.strictObject({
    total: z.number().int(),
    first: z.array(z.strictObject({ environment: z.string(), release })),
  }),
})

const body = z
  .strictObject({
    /** What takes its place. */
    value: z.string().optional(),
    /** Nothing does. */
    remove: z.literal(true).optional(),
    /** The release whose value leaked; left out: the value that the environment has now. */
    of: releaseNumber.optional(),
  })
  .refine(({ value, remove }) => (value === undefined) !== (remove === undefined), 'takes either value or remove')

const mostImages = 100

type Needs = Pick<HttpNeeds, 'environments' | 'releases' | 'revocation'>

export function revocationRoutes({ environments, releases, revocation }: Needs): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments/:environment/vars/:name/revocation',
      tag: 'vars',
      summary: 'Take a value that leaked out of all environments of the app and all their releases',
      action: 'vars.revoke',
      params: z.strictObject({ ...environmentParams.shape, name: z.string().max(1_000) }),
      query: nothing,
      body,
      success: { status: 200, description: 'Where it was, and what still has it', schema: revokedSchema },
      about: ({ app }) => app,
      async handle({ params, body: { value, of }, principal }) {
        const { id: environmentId, appId, name: environment } = await environments.get(params.app, params.environment)
        const found = of === undefined ? null : await releases.get({ environmentId, environment, number: of })
        const { name } = params
        const wish = { appId, environmentId, environment, name, release: found, value: value ?? null }
        const revoked = await revocation.revoke(wish, principal.name)
        const { images, begun, goingOn } = revoked
        return {
          json: {
            name,
            environments: revoked.environments.map(({ running, ...its }) => ({
              ...its,
              running: running.map((each) => ({ ...each, release: `v${each.release}` })),
            })),
            begun: begun.map(({ deployId, ...its }) => ({ deploy: deployId, ...its })),
            goingOn: goingOn?.map((each) => ({ ...each, release: `v${each.release}` })) ?? null,
            images: {
              total: images.length,
              first: images.slice(0, mostImages).map((each) => ({ ...each, release: `v${each.release}` })),
            },
          },
        }
      },
    }),
  ]
}
