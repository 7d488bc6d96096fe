import { z } from 'zod'
import type { QueuedDeploy } from '../../../deploys/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, isoTime, nothing, time } from '../../schemas.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'

export const processesSchema = z.strictObject({
  /** What serves; null while nothing was deployed. */
  release: z.string().nullable(),
  /** Of the environment; the same as the ETag. */
  version: z.number().int(),
  processes: z.array(
    z.strictObject({
      name: z.string(),
      /** null: the image's own command. */
      run: z.string().nullable(),
      running: z.number().int(),
      /** What the next deploy starts. */
      wanted: z.number().int(),
      /** Who asked for this number, and when; null: it is what slipway.yml says. */
      scaled: z.strictObject({ by: z.string(), at: time }).nullable(),
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
    const environment = await environments.get(app, name)
    const { release, processes: all } = await processes.list(environment)
    const listed = all.map(({ scaled, ...rest }) => {
      return { ...rest, scaled: scaled === null ? null : { by: scaled.by, at: isoTime(scaled.at) } }
    })
    const { version } = environment
    return { json: { version, release: release === null ? null : `v${release}`, processes: listed }, version }
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
      versioned: true,
      success: { status: 200, description: 'The processes', schema: processesSchema },
      about: ({ app }) => app,
      handle: ({ params }) => list(params.app, params.environment),
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
      versioned: true,
      success: { status: 200, description: 'The processes as they are now', schema: scaledSchema },
      about: ({ app }) => app,
      async handle({ params, body, ifVersion, principal }) {
        const environment = await environments.get(params.app, params.environment)
        const how = { by: principal.name, now: body.now, ifVersion }
        const queued = await processes.scale(environment, body.processes, how)
        const deploy = queued === null ? null : await present(queued)
        const { json, version } = await list(params.app, params.environment)
        return { json: { ...json, deploy }, version }
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
