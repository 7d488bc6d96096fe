import { z } from 'zod'
import { countAhead, type Deploy, hasEnded } from '../../../deploys/index.ts'
import type { Environment } from '../../../environments/index.ts'
import type { HttpNeeds, RunningRelease } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, environmentParams, isoTime, isoTimeOrNull, nothing, time } from '../../schemas.ts'
import { deploySchema, presentDeploy } from '../deploys/presenter.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'

const instanceSchema = z.strictObject({
  name: z.string(),
  state: z.enum(['running', 'silent', 'restarting', 'stopped', 'crashed', 'unknown']),
  /** How often it ended and was started again, as far as anybody counted. */
  restarts: z.number().int(),
  startedAt: time.nullable(),
  /** Its last end; null while it takes requests and does not end again and again. */
  crash: z
    .strictObject({
      since: time,
      exitCode: z.number().int().nullable(),
      outOfMemory: z.boolean(),
      /** It ends again and again. */
      isLoop: z.boolean(),
    })
    .nullable(),
})

export const statusSchema = z.strictObject({
  environment: environmentSchema,
  /** What its address leads to; null when nothing is live. */
  running: z
    .strictObject({
      release: z.string(),
      commit: z.string(),
      since: time,
      /** `up`: all instances run and listen; `partly`, `down`; `unknown` when the engine says nothing about one. */
      health: z.enum(['up', 'partly', 'down', 'unknown']),
      instances: z.array(instanceSchema),
    })
    .nullable(),
  lastDeploy: deploySchema.nullable(),
  /** Deploys that have not ended, oldest first; `ahead` is the place in line of those that wait. */
  line: z.array(z.strictObject({ ...deploySchema.shape, ahead: z.number().int().nullable() })),
})

const allStatuses = z.strictObject({ app: z.string(), environments: z.array(statusSchema) })

type Needs = Pick<HttpNeeds, 'environments' | 'deploys' | 'running' | 'facts'>

/** Enough to hold all that wait: pushes replace each other, so a line is as long as people ask by hand. */
const recentDeploys = 50

export function statusRoutes({ environments, deploys, running, facts }: Needs): Route[] {
  const statusOf = async (environment: Environment): Promise<z.input<typeof statusSchema>> => {
    const [release, recent] = await Promise.all([
      running.find(environment.id),
      deploys.list(environment.id, { limit: recentDeploys }),
    ])
    return {
      environment: presentEnvironment(environment, facts),
      running: release === null ? null : presentRunning(release),
      lastDeploy: recent[0] === undefined ? null : presentDeploy(recent[0]),
      line: lineOf(recent),
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
        const statuses = await Promise.all((await environments.list(app.name)).map(statusOf))
        return { json: { app: app.name, environments: statuses } }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/status',
      tag: 'status',
      summary: 'What runs in an environment',
      action: 'apps.read',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The status', schema: statusSchema },
      about: ({ app }) => app,
      handle: async ({ params }) => ({ json: await statusOf(await environments.get(params.app, params.environment)) }),
    }),
  ]
}

function presentRunning(running: RunningRelease): NonNullable<z.input<typeof statusSchema>['running']> {
  return {
    release: `v${running.release}`,
    commit: running.commit,
    since: isoTime(running.since),
    health: healthOf(running.instances.map((one) => one.state)),
    instances: running.instances.map(({ startedAt, crash, ...one }) => ({
      ...one,
      startedAt: isoTimeOrNull(startedAt),
      crash: crash === null ? null : { ...crash, since: isoTime(crash.since) },
    })),
  }
}

type InstanceState = z.input<typeof instanceSchema>['state']

export function healthOf(states: readonly InstanceState[]): 'up' | 'partly' | 'down' | 'unknown' {
  if (states.includes('unknown')) return 'unknown'
  const up = states.filter((state) => state === 'running').length
  if (up === 0) return 'down'
  return up === states.length ? 'up' : 'partly'
}

function lineOf(newestFirst: readonly Deploy[]) {
  return newestFirst
    .filter((deploy) => !hasEnded(deploy.state))
    .toReversed()
    .map((deploy) => ({ ...presentDeploy(deploy), ahead: countAhead(deploy, newestFirst) }))
}
