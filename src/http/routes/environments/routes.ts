import { z } from 'zod'
import type { Environment, EnvironmentChange, NewEnvironment } from '../../../environments/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, environmentParams, nothing, removalBegun, removalQuery, versionFrom } from '../../schemas.ts'
import { deploySchema, presentDeploy } from '../deploys/presenter.ts'
import { changedSchema, environmentSchema, presentEnvironment } from './presenter.ts'

const environmentList = z.strictObject({ environments: z.array(environmentSchema) })

const change = z
  .strictObject({
    branch: z.string().min(1).max(200).nullable().optional(),
    deployOnPush: z.boolean().optional(),
    allowForcedPush: z.boolean().optional(),
    supersede: z.enum(['waiting', 'running']).optional(),
    held: z.boolean().optional(),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), 'nothing to change was given')

const addition = z.strictObject({
  name: z.string().min(1).max(100),
  /** null: the app’s default branch. Left out: as `from`, else the default branch. */
  branch: z.string().min(1).max(200).nullable().optional(),
  /** The environment that it is to be like: its branch and settings. */
  from: z.string().min(1).max(100).optional(),
  deployOnPush: z.boolean().optional(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'facts' | 'commits' | 'removals' | 'deploys'>

export function environmentRoutes(needs: Needs): Route[] {
  return [...readRoutes(needs), ...changeRoutes(needs), ...powerRoutes(needs), removalRoute(needs)]
}

function readRoutes({ environments, facts }: Needs): Route[] {
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
  ]
}

function changeRoutes({ environments, facts, commits }: Needs): Route[] {
  const presentChanged = async (environment: Environment): Promise<z.input<typeof changedSchema>> => {
    const { app, followedBranch } = environment
    const tip = followedBranch === null ? null : await commits.tipOf(app, followedBranch)
    return { ...presentEnvironment(environment, facts), branchIsThere: tip !== null }
  }
  return [
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments',
      tag: 'environments',
      summary: 'Add an environment, from scratch or like another one',
      action: 'environments.add',
      params: appParams,
      query: nothing,
      body: addition,
      success: { status: 201, description: 'The new environment', schema: changedSchema },
      about: ({ app }) => app,
      async handle({ params, body, principal }) {
        const wanted = { ...body, by: principal.name } as NewEnvironment
        const { name } = await environments.add(params.app, wanted)
        const added = await environments.get(params.app, name)
        return { json: await presentChanged(added), location: `/api/v1/apps/${added.app}/environments/${name}` }
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/apps/:app/environments/:environment',
      tag: 'environments',
      summary:
        'Change an environment. A branch of its own turns deployOnPush on unless the same change says otherwise. With the header ' +
        'If-Match: "<version>" it is refused when somebody has changed it since',
      action: 'environments.change',
      params: environmentParams,
      query: nothing,
      body: change,
      success: { status: 200, description: 'The environment as it is now', schema: changedSchema },
      about: ({ app }) => app,
      async handle({ params, body, principal, request }) {
        const options = { by: principal.name, ...versionFrom(request) }
        // Left out and undefined are the same thing after JSON; the module tells them apart by type only.
        const change = body as EnvironmentChange
        return {
          json: await presentChanged(await environments.change(params.app, params.environment, change, options)),
        }
      },
    }),
  ]
}

function powerRoutes({ environments, deploys, facts }: Needs): Route[] {
  const common = {
    method: 'post',
    tag: 'environments',
    params: environmentParams,
    query: nothing,
    body: nothing,
  } as const
  return [
    defineRoute({
      ...common,
      path: '/apps/:app/environments/:environment/stop',
      summary: 'Stop an environment: its address says so (503), and its instances go when open requests are over',
      action: 'environments.stop',
      success: { status: 200, description: 'The environment as it is now', schema: environmentSchema },
      about: ({ app }) => app,
      async handle({ params: { app, environment }, principal }) {
        await deploys.stopServing((await environments.get(app, environment)).id, principal.name)
        return { json: presentEnvironment(await environments.get(app, environment), facts) }
      },
    }),
    defineRoute({
      ...common,
      path: '/apps/:app/environments/:environment/start',
      summary: 'Start what a stopped environment served before',
      action: 'environments.stop',
      success: { status: 202, description: 'It is being started; follow the deploy at Location', schema: deploySchema },
      about: ({ app }) => app,
      async handle({ params: { app, environment }, principal }) {
        const { id } = await environments.get(app, environment)
        const { deployId } = await deploys.startServing(id, principal.name)
        return { json: presentDeploy(await deploys.get(deployId)), location: `/api/v1/deploys/${deployId}` }
      },
    }),
  ]
}

function removalRoute({ removals }: Needs): Route {
  return defineRoute({
    method: 'delete',
    path: '/apps/:app/environments/:environment',
    tag: 'environments',
    summary:
      'Remove an environment with its data, instances, images and logs; it is gone when it is not found any more. With cancel a ' +
      'deploy that runs is asked to end, else it is waited for',
    action: 'environments.remove',
    params: environmentParams,
    query: removalQuery,
    body: nothing,
    success: { status: 202, description: 'It is being removed', schema: removalBegun },
    about: ({ app }) => app,
    async handle({ params: { app, environment }, query, principal }) {
      const { waitsFor } = await removals.beginEnvironment(app, environment, {
        by: principal.name,
        cancel: query.cancel,
      })
      return { json: { waitsFor: [...waitsFor] }, location: `/api/v1/apps/${app}/environments/${environment}` }
    },
  })
}
