import { z } from 'zod'
import { countAhead, type Deploy, hasEnded } from '../../../deploys/index.ts'
import type { EnvironmentLock } from '../../../environments/index.ts'
import type { EnvironmentStatus } from '../../../status/index.ts'
import type { BesideRelease, Facts, RunningInstance, RunningRelease } from '../../needs.ts'
import { isoTime, isoTimeOrNull, time } from '../../schemas.ts'
import { deploySchema, presentDeploy } from '../deploys/presenter.ts'
import { environmentSchema } from '../environments/presenter.ts'

const instanceSchema = z.strictObject({
  name: z.string(),
  state: z.enum(['starting', 'running', 'silent', 'restarting', 'stopped', 'crashed', 'unknown']),
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
      /** Why it could not be started again the last time; null: it could. */
      startError: z.string().nullable(),
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
      /** `up`: all instances run and listen, or are workers that are started now; `partly`, `down`; `unknown` when the engine says nothing about one. */
      health: z.enum(['up', 'partly', 'down', 'unknown']),
      instances: z.array(instanceSchema),
    })
    .nullable(),
  /** What runs beside it: the new release while it starts and is checked, earlier ones that drain, or that somebody asked for. */
  beside: z.array(
    z.strictObject({
      release: z.string(),
      deploy: z.number().int(),
      /** `awake`: somebody asked for it at its own address; `warm`: it is kept as it was, for a way back. */
      state: z.enum(['starting', 'draining', 'warm', 'awake']),
      instances: z.array(instanceSchema),
    }),
  ),
  lastDeploy: deploySchema.nullable(),
  /** Deploys that have not ended, oldest first; `ahead` is the place in line of those that wait. */
  line: z.array(z.strictObject({ ...deploySchema.shape, ahead: z.number().int().nullable() })),
})

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

/** One that has come in the meantime has nothing to be told yet. */
export function presentTold(status: EnvironmentStatus | undefined) {
  if (status === undefined) return { state: 'not-deployed' as const, undeployed: null, unapplied: [], messages: [] }
  const { state, undeployed, messages, facts } = status
  const unapplied = facts.unapplied.map(({ what, names }) => ({ what, names: [...names] }))
  return { state, undeployed, unapplied, messages: [...messages] }
}

export function presentOverview(status: EnvironmentStatus, { urls }: Facts): z.input<typeof overviewSchema> {
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

export function presentRunning(running: RunningRelease): NonNullable<z.input<typeof statusSchema>['running']> {
  return {
    release: `v${running.release}`,
    commit: running.commit,
    since: isoTime(running.since),
    health: healthOf(running.instances.map((one) => one.state)),
    instances: running.instances.map(presentInstance),
  }
}

export function presentBeside({ release, deployId, state, instances }: BesideRelease) {
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
  const due = states.filter((state) => state !== 'starting')
  const up = due.filter((state) => state === 'running').length
  if (up === 0) return 'down'
  return up === due.length ? 'up' : 'partly'
}

/** Numbers say who came first, not who was last: a rollback goes ahead of what waits, and what waited goes on behind it. */
export function presentLast(newestFirst: readonly Deploy[]) {
  const endedMs = ({ finishedAt }: Deploy): number => finishedAt?.getTime() ?? 0
  const [newest] = newestFirst.toSorted((a, b) => endedMs(b) - endedMs(a))
  const last = newestFirst.find(({ state }) => state === 'running') ?? newest
  return last === undefined ? null : presentDeploy(last)
}

export function presentLine(newestFirst: readonly Deploy[], lock: EnvironmentLock | null) {
  return newestFirst
    .filter((deploy) => !hasEnded(deploy.state))
    .toReversed()
    .map((deploy) => ({ ...presentDeploy(deploy), ahead: countAhead(deploy, newestFirst, lock) }))
}
