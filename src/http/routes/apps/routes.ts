import { z } from 'zod'
import type { App } from '../../../environments/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, nothing, removalBegun, removalQuery } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'
import { appSchema, presentApp } from './presenter.ts'

const appList = z.strictObject({ apps: z.array(appSchema) })
const appWithEnvironments = z.strictObject({ ...appSchema.shape, environments: z.array(environmentSchema) })

const appChange = z
  .strictObject({
    defaultBranch: z.string().min(1).max(200).optional(),
    /** Who may see the addresses of the live environment’s releases: nobody, those who have a password of it, everybody. */
    releaseAddresses: z.enum(['off', 'protected', 'public']).optional(),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), 'nothing to change was given')

type Needs = Pick<HttpNeeds, 'environments' | 'facts' | 'protection' | 'removals' | 'setDefaultBranch'>

type Show = (name: string) => Promise<z.input<typeof appWithEnvironments>>

export function appRoutes(needs: Needs): Route[] {
  const { environments, facts, removals } = needs
  const show: Show = async (name) => {
    const app = await environments.getApp(name)
    const its = await environments.list(name)
    return { ...presentApp(app, facts), environments: its.map((one) => presentEnvironment(one, facts)) }
  }

  return [
    defineRoute({
      method: 'get',
      path: '/apps',
      tag: 'apps',
      summary: 'All apps, by name',
      action: 'apps.read',
      params: nothing,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The apps', schema: appList },
      about: () => null,
      handle: async () => ({ json: { apps: (await environments.listApps()).map((app) => presentApp(app, facts)) } }),
    }),
    defineRoute({
      method: 'post',
      path: '/apps',
      tag: 'apps',
      summary: 'Make an app with its environments: test and live, or those named, of which the last is the live one',
      action: 'apps.create',
      params: nothing,
      query: nothing,
      body: z.strictObject({
        name: z.string().min(1).max(100),
        environments: z.array(z.string().max(100)).min(1).max(10).optional(),
      }),
      success: { status: 201, description: 'The new app', schema: appWithEnvironments },
      about: () => null,
      async handle({ body: { name, environments: names }, principal }) {
        const named = names === undefined ? {} : { environments: names }
        const app = await environments.createApp(name, { by: principal.name, ...named })
        return { json: await show(app.name), location: `/api/v1/apps/${app.name}` }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app',
      tag: 'apps',
      summary: 'An app and its environments',
      action: 'apps.read',
      params: appParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The app', schema: appWithEnvironments },
      about: ({ app }) => app,
      handle: async ({ params }) => ({ json: await show(params.app) }),
    }),
    changeRoute(needs, show),
    defineRoute({
      method: 'delete',
      path: '/apps/:app',
      tag: 'apps',
      summary:
        'Remove an app with all its environments, its images and its repository; it is gone when it is not found any more',
      action: 'apps.remove',
      params: appParams,
      query: removalQuery,
      body: nothing,
      success: { status: 202, description: 'It is being removed', schema: removalBegun },
      about: ({ app }) => app,
      async handle({ params, query, principal }) {
        const { waitsFor } = await removals.beginApp(params.app, { by: principal.name, cancel: query.cancel })
        return { json: { waitsFor: [...waitsFor] }, location: `/api/v1/apps/${params.app}` }
      },
    }),
  ]
}

function changeRoute({ environments, protection, setDefaultBranch }: Needs, show: Show): Route {
  const setReleaseAddresses = async (name: string, value: App['releaseAddresses']): Promise<void> => {
    const live = (await environments.list(name)).find((one) => one.live)
    if (live !== undefined) await protection.setReleaseAddresses(live, value)
  }

  return defineRoute({
    method: 'patch',
    path: '/apps/:app',
    tag: 'apps',
    summary: 'Change an app. A default branch that was set here stays, whatever branches arrive',
    action: 'environments.change',
    params: appParams,
    query: nothing,
    body: appChange,
    success: { status: 200, description: 'The app as it is now', schema: appWithEnvironments },
    about: ({ app }) => app,
    async handle({ params, body, principal }) {
      const { defaultBranch, releaseAddresses } = body
      const { name } = await environments.getApp(params.app)
      if (defaultBranch !== undefined) await setDefaultBranch(name, defaultBranch, principal.name)
      if (releaseAddresses !== undefined) await setReleaseAddresses(name, releaseAddresses)
      return { json: await show(params.app) }
    },
  })
}
