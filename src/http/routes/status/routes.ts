import { z } from 'zod'
import { countAhead, type Deploy, hasEnded } from '../../../deploys/index.ts'
import type { Environment } from '../../../environments/index.ts'
import type { Commit } from '../../../git/index.ts'
import type { EnvironmentStatus } from '../../../status/index.ts'
import type { BesideRelease, Facts, HttpNeeds, RunningInstance, RunningRelease } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, environmentParams, flag, isoTime, isoTimeOrNull, nothing, time } from '../../schemas.ts'
import { deploySchema, presentDeploy } from '../deploys/presenter.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'

const instanceSchema = z.strictObject({
  name: z.string(),
  state: z.enum(['running', 'silent', 'restarting', 'stopped', 'crashed', 'unknown']),
  /** How often it ended and was started again, as far as anybody counted. */
  restarts: z.number().int(),
  startedAt: time.nullable(),
  /** With `use=true`: memory without the file cache, and percent of one core. */
  use: z.strictObject({ memoryBytes: z.number(), cpuPercent: z.number() }).nullable(),
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

/** What is to be said of it: a stable code, and a sentence. */
const told = {
  /** As far as Slipway has noticed; `running.health` asks the engine. */
  state: z.enum(['not-deployed', 'running', 'partly', 'crashed', 'stopped', 'removing']),
  /** Commits of the branch that are not deployed; null when that is not known (yet). */
  undeployed: z.number().int().nullable(),
  /** What comes into force with the next deploy: names, never values. Of a branch the old and the new one. */
  unapplied: z.array(
    z.strictObject({ what: z.enum(['branch', 'variables', 'processes']), names: z.array(z.string()) }),
  ),
  messages: z.array(z.strictObject({ code: z.string(), text: z.string() })),
}

export const statusSchema = z.strictObject({
  environment: environmentSchema,
  ...told,
  /** The newest of the undeployed commits. */
  commits: z.array(z.strictObject({ id: z.string(), author: z.string(), at: time, subject: z.string() })),
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
  /** What runs beside it: the new release while it starts and is checked, earlier ones that drain. */
  beside: z.array(
    z.strictObject({
      release: z.string(),
      deploy: z.number().int(),
      state: z.enum(['starting', 'draining']),
      instances: z.array(instanceSchema),
    }),
  ),
  lastDeploy: deploySchema.nullable(),
  /** Deploys that have not ended, oldest first; `ahead` is the place in line of those that wait. */
  line: z.array(z.strictObject({ ...deploySchema.shape, ahead: z.number().int().nullable() })),
})

const allStatuses = z.strictObject({ app: z.string(), environments: z.array(statusSchema) })

export const overviewSchema = z.strictObject({
  app: z.string(),
  environment: z.string(),
  live: z.boolean(),
  url: z.string(),
  ...told,
  release: z.string().nullable(),
  commit: z.string().nullable(),
  since: time.nullable(),
  branch: z.string().nullable(),
})

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

/** One that has come in the meantime has nothing to be told yet. */
function presentTold(status: EnvironmentStatus | undefined) {
  if (status === undefined) return { state: 'not-deployed' as const, undeployed: null, unapplied: [], messages: [] }
  const { state, undeployed, messages, facts } = status
  const unapplied = facts.unapplied.map(({ what, names }) => ({ what, names: [...names] }))
  return { state, undeployed, unapplied, messages: [...messages] }
}

function presentOverview(status: EnvironmentStatus, { urls }: Facts): z.input<typeof overviewSchema> {
  const { app, environment, isLiveEnvironment, label, release, live, since, branch } = status.facts
  return {
    app,
    environment,
    live: isLiveEnvironment,
    url: urls.environment(label),
    ...presentTold(status),
    release: release === null ? null : `v${release}`,
    commit: live?.commit ?? null,
    since: isoTimeOrNull(since),
    branch,
  }
}

function presentRunning(running: RunningRelease): NonNullable<z.input<typeof statusSchema>['running']> {
  return {
    release: `v${running.release}`,
    commit: running.commit,
    since: isoTime(running.since),
    health: healthOf(running.instances.map((one) => one.state)),
    instances: running.instances.map(presentInstance),
  }
}

function presentBeside({ release, deployId, state, instances }: BesideRelease) {
  return { release: `v${release}`, deploy: deployId, state, instances: instances.map(presentInstance) }
}

function presentInstance({ startedAt, crash, ...one }: RunningInstance): z.input<typeof instanceSchema> {
  return {
    ...one,
    startedAt: isoTimeOrNull(startedAt),
    crash: crash === null ? null : { ...crash, since: isoTime(crash.since) },
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
