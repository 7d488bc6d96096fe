import { z } from 'zod'
import type { QueuedDeploy } from '../../../deploys/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, nothing } from '../../schemas.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'

export const processesSchema = z.strictObject({
  /** What serves; null while nothing was deployed. */
  release: z.string().nullable(),
  processes: z.array(
    z.strictObject({
      name: z.string(),
      /** null: the image's own command. */
      run: z.string().nullable(),
      running: z.number().int(),
      /** What the next deploy starts. */
      wanted: z.number().int(),
      /** Somebody asked for this number; else it is what slipway.yml says. */
      isScaled: z.boolean(),
    }),
  ),
})

export const scaledSchema = z.strictObject({
  ...processesSchema.shape,
  /** The deploy that applies it; null: the next one does. */
  deploy: queuedDeploy.nullable(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'processes' | 'deploys'>

export function processRoutes({ environments, processes, deploys }: Needs): Route[] {
  const list = async (app: string, name: string) => {
    const { release, processes: all } = await processes.list(await environments.get(app, name))
    return { release: release === null ? null : `v${release}`, processes: [...all] }
  }
  const present = async (queued: QueuedDeploy) => presentQueued(await deploys.get(queued.deployId), queued)

  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/processes',
      tag: 'processes',
      summary: 'The processes of what serves, how many instances run, and how many the next deploy starts',
      action: 'apps.read',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The processes', schema: processesSchema },
      about: ({ app }) => app,
      handle: async ({ params }) => ({ json: await list(params.app, params.environment) }),
    }),
    defineRoute({
      method: 'patch',
      path: '/apps/:app/environments/:environment/processes',
      tag: 'processes',
      summary:
        'How many instances processes have from the next deploy on (null: as slipway.yml says); with now by a deploy of what serves',
      action: 'environments.change',
      params: environmentParams,
      query: nothing,
      body: z.strictObject({
        processes: z
          .record(z.string().min(1).max(100), z.number().nullable())
          .refine((given) => Object.keys(given).length > 0, 'nothing to change was given'),
        now: z.boolean().default(false),
      }),
      success: { status: 200, description: 'The processes as they are now', schema: scaledSchema },
      about: ({ app }) => app,
      async handle({ params, body, principal }) {
        const environment = await environments.get(params.app, params.environment)
        const queued = await processes.scale(environment, body.processes, { by: principal.name, now: body.now })
        const deploy = queued === null ? null : await present(queued)
        return { json: { ...(await list(params.app, params.environment)), deploy } }
      },
    }),
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments/:environment/restarts',
      tag: 'processes',
      summary: 'Start what serves anew, beside itself: a deploy of the same release, with checks and swap',
      action: 'deploys.request',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 202, description: 'The deploy stands in line; follow it at Location', schema: queuedDeploy },
      about: ({ app }) => app,
      async handle({ params, principal }) {
        const environment = await environments.get(params.app, params.environment)
        const queued = await processes.restart(environment, principal.name)
        return { json: await present(queued), location: `/api/v1/deploys/${queued.deployId}` }
      },
    }),
  ]
}
