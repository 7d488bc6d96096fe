import { z } from 'zod'
import type { EnvironmentChange } from '../../../environments/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, environmentParams, nothing } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from './presenter.ts'

const environmentList = z.strictObject({ environments: z.array(environmentSchema) })

const change = z
  .strictObject({
    branch: z.string().min(1).max(200).nullable().optional(),
    deployOnPush: z.boolean().optional(),
    allowForcedPush: z.boolean().optional(),
    supersede: z.enum(['waiting', 'running']).optional(),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), 'nothing to change was given')

export function environmentRoutes({ environments, facts }: Pick<HttpNeeds, 'environments' | 'facts'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments',
      tag: 'environments',
      summary: 'The environments of an app',
      action: 'apps.read',
      params: appParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The environments', schema: environmentList },
      about: ({ app }) => app,
      async handle({ params }) {
        const app = await environments.getApp(params.app)
        const its = await environments.list(app.name)
        return { json: { environments: its.map((one) => presentEnvironment(one, facts)) } }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment',
      tag: 'environments',
      summary: 'One environment',
      action: 'apps.read',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The environment', schema: environmentSchema },
      about: ({ app }) => app,
      handle: async ({ params }) => ({
        json: presentEnvironment(await environments.get(params.app, params.environment), facts),
      }),
    }),
    defineRoute({
      method: 'patch',
      path: '/apps/:app/environments/:environment',
      tag: 'environments',
      summary: 'Change an environment. A branch of its own turns deployOnPush on unless the same change says otherwise',
      action: 'environments.change',
      params: environmentParams,
      query: nothing,
      body: change,
      success: { status: 200, description: 'The environment as it is now', schema: environmentSchema },
      about: ({ app }) => app,
      async handle({ params, body }) {
        // Left out and undefined are the same thing after JSON; the module tells them apart by type only.
        const changed = await environments.change(params.app, params.environment, body as EnvironmentChange)
        return { json: presentEnvironment(changed, facts) }
      },
    }),
  ]
}
