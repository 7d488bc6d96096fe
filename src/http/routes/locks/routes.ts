import { z } from 'zod'
import type { Held } from '../../../deploys/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, nothing, versionFrom } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'

export const heldSchema = z.strictObject({
  environment: environmentSchema,
  /** The deploy that runs; it goes on. */
  running: z.number().int().nullable(),
  /** Deploys that wait: for the unlock, or from it on for each other. */
  waiting: z.array(z.number().int()),
})

export const unlockedSchema = z.strictObject({
  ...heldSchema.shape,
  /** The lock that it had; null: it had none. */
  lock: environmentSchema.shape.lock,
})

const wish = z.strictObject({
  reason: z.string(),
  /** Deploys wait for the unlock; else they are refused, and pushes are kept without being deployed. */
  waits: z.boolean().default(false),
  allowsRollbacks: z.boolean().default(false),
})

type Needs = Pick<HttpNeeds, 'environments' | 'facts' | 'locks'>

export function lockRoutes({ environments, facts, locks }: Needs): Route[] {
  const present = async (params: { app: string; environment: string }, { running, waiting }: Held) => {
    const environment = await environments.get(params.app, params.environment)
    return { environment: presentEnvironment(environment, facts), running, waiting: [...waiting] }
  }
  const common = {
    path: '/apps/:app/environments/:environment/lock',
    tag: 'environments',
    action: 'environments.lock',
    params: environmentParams,
    query: nothing,
  } as const
  return [
    defineRoute({
      ...common,
      method: 'post',
      summary:
        'Hold the deploys of an environment back: pushes, deploys, promotions and rollbacks. What runs goes on, and so do restarts, ' +
        'scaling and jobs. With the header If-Match: "<version>" it is refused when somebody has changed the environment since',
      body: wish,
      success: { status: 201, description: 'It is locked', schema: heldSchema },
      about: ({ app }) => app,
      async handle({ params, body, principal, request }) {
        const environment = await environments.get(params.app, params.environment)
        const options = { by: principal.name, ...versionFrom(request) }
        return { json: await present(params, await locks.lock(environment, body, options)) }
      },
    }),
    defineRoute({
      ...common,
      method: 'delete',
      summary: 'Let the deploys of an environment go on; those that wait begin',
      body: nothing,
      success: { status: 200, description: 'It is not locked any more', schema: unlockedSchema },
      about: ({ app }) => app,
      async handle({ params, principal, request }) {
        const before = await environments.get(params.app, params.environment)
        const options = { by: principal.name, ...versionFrom(request) }
        const { lock, ...held } = await locks.unlock(before, options)
        const { lock: presented } = presentEnvironment({ ...before, lock }, facts)
        return { json: { ...(await present(params, held)), lock: presented } }
      },
    }),
  ]
}
