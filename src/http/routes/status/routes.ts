import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import type { Commit } from '../../../git/index.ts'
import type { EnvironmentStatus } from '../../../status/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, environmentParams, flag, isoTime, nothing } from '../../schemas.ts'
import { presentEnvironment } from '../environments/presenter.ts'
import {
  overviewSchema,
  presentBeside,
  presentLast,
  presentLine,
  presentOverview,
  presentRunning,
  presentTold,
  statusSchema,
} from './presenter.ts'

const allStatuses = z.strictObject({ app: z.string(), environments: z.array(statusSchema) })

type Needs = Pick<HttpNeeds, 'environments' | 'deploys' | 'running' | 'statuses' | 'commits' | 'facts'>

/** Enough to hold all that wait: pushes replace each other, so a line is as long as people ask by hand. */
const recentDeploys = 50

/** Of the undeployed commits so many are listed. */
const listedCommits = 20

export function statusRoutes({ environments, deploys, running, statuses, commits, facts }: Needs): Route[] {
  const statusOf = async (
    environment: Environment,
    status: EnvironmentStatus | undefined,
    use = false,
  ): Promise<z.input<typeof statusSchema>> => {
    const [{ serving, beside }, recent, undeployed] = await Promise.all([
      running.find(environment.id, { use }),
      deploys.list(environment.id, { limit: recentDeploys }),
      status === undefined ? [] : listUndeployed(commits, status),
    ])
    return {
      environment: presentEnvironment(environment, facts),
      ...presentTold(status),
      commits: undeployed.map((one) => ({ ...one, at: isoTime(one.at) })),
      running: serving === null ? null : presentRunning(serving),
      beside: beside.map(presentBeside),
      lastDeploy: presentLast(recent),
      line: presentLine(recent, environment.lock),
    }
  }

  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/status',
      tag: 'status',
      summary: 'What runs in all environments of an app',
      action: 'apps.read',
      params: appParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The status of each environment', schema: allStatuses },
      about: ({ app }) => app,
      async handle({ params }) {
        const app = await environments.getApp(params.app)
        const [there, told] = await Promise.all([environments.list(app.name), statuses.ofApp(app.id)])
        const all = there.map((one) =>
          statusOf(
            one,
            told.find(({ facts: { environmentId } }) => environmentId === one.id),
          ),
        )
        return { json: { app: app.name, environments: await Promise.all(all) } }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/status',
      tag: 'status',
      summary: 'What runs in an environment',
      action: 'apps.read',
      params: environmentParams,
      query: z.strictObject({ use: flag.default(false) }),
      body: nothing,
      success: { status: 200, description: 'The status', schema: statusSchema },
      about: ({ app }) => app,
      async handle({ params, query }) {
        const environment = await environments.get(params.app, params.environment)
        const told = await statuses.ofApp(environment.appId)
        return {
          json: await statusOf(
            environment,
            told.find((one) => one.facts.environmentId === environment.id),
            query.use,
          ),
        }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/status',
      tag: 'status',
      summary: 'What is live in all environments of all apps, and how far it is behind; nothing is asked of the engine',
      action: 'server.read',
      params: nothing,
      query: nothing,
      body: nothing,
      success: {
        status: 200,
        description: 'All environments, by app',
        schema: z.strictObject({ environments: z.array(overviewSchema) }),
      },
      about: () => null,
      handle: async () => ({
        json: { environments: (await statuses.list()).map((one) => presentOverview(one, facts)) },
      }),
    }),
  ]
}

function listUndeployed(commits: HttpNeeds['commits'], { facts, undeployed }: EnvironmentStatus): Promise<Commit[]> {
  const { live, head, app } = facts
  if (live === null || head === null || undeployed === 0) return Promise.resolve([])
  return commits.listBetween(app, { from: live.commit, to: head, limit: listedCommits })
}
