import { z } from 'zod'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, nothing, versionFrom } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'

const wish = z.strictObject({
  /** Empty: the page’s own words. Left out: as it was; at first these, too. */
  message: z.string().optional(),
  /** Who comes from these ranges sees the site. Left out: as it was; at first nobody. */
  allow: z.array(z.string().max(500)).max(100).optional(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'facts' | 'maintenance'>

export function maintenanceRoutes({ environments, facts, maintenance }: Needs): Route[] {
  const present = async (params: { app: string; environment: string }) => ({
    json: presentEnvironment(await environments.get(params.app, params.environment), facts),
  })
  const common = {
    path: '/apps/:app/environments/:environment/maintenance',
    tag: 'environments',
    action: 'environments.maintain',
    params: environmentParams,
    query: nothing,
    success: { status: 200, description: 'The environment as it is now', schema: environmentSchema },
  } as const
  return [
    defineRoute({
      ...common,
      method: 'post',
      summary:
        'Tell visitors of an environment that it is being worked on (503), or tell them something else. Deploys go on behind it. It holds ' +
        'when this has answered. With the header If-Match: "<version>" it is refused when somebody has changed the environment since',
      body: wish,
      about: ({ app }) => app,
      async handle({ params, body, principal, request }) {
        const environment = await environments.get(params.app, params.environment)
        const { message = null, allow = null } = body
        await maintenance.begin(environment, { message, allow }, { by: principal.name, ...versionFrom(request) })
        return present(params)
      },
    }),
    defineRoute({
      ...common,
      method: 'delete',
      summary: 'Let visitors see the site again',
      body: nothing,
      about: ({ app }) => app,
      async handle({ params, principal, request }) {
        const environment = await environments.get(params.app, params.environment)
        await maintenance.end(environment, { by: principal.name, ...versionFrom(request) })
        return present(params)
      },
    }),
  ]
}
