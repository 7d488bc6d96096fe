import { z } from 'zod'
import type { Deploy, DeployState, Origin, QueuedDeploy } from '../../../deploys/index.ts'
import { isoTime, isoTimeOrNull, time } from '../../schemas.ts'

const states = [
  'waiting',
  'running',
  'live',
  'reverted',
  'failed',
  'cancelled',
  'superseded',
] as const satisfies DeployState[]

export const deploySchema = z.strictObject({
  id: z.number().int(),
  app: z.string(),
  environment: z.string(),
  kind: z.string(),
  branch: z.string().nullable(),
  commit: z.string(),
  requestedBy: z.string(),
  /** `live` says that it went live; whether it still is, `serves` says. */
  state: z.enum(states),
  /** Requests to its environment are led to its release now. */
  serves: z.boolean(),
  /** The step that is being done, or where it ended. */
  step: z.string().nullable(),
  /** `v12`; null until there is one. */
  release: z.string().nullable(),
  /** The release whose image it takes instead of building one; null when it builds, or that release’s environment was removed. */
  from: z.strictObject({ environment: z.string(), release: z.string() }).nullable(),
  /** What it waits for in its line, or its build for a slot, in words; null when neither waits, or when it is the next. */
  waitingFor: z.string().nullable(),
  supersededBy: z.number().int().nullable(),
  cancelRequested: z.boolean(),
  /** True once a release command of this deploy has begun. */
  commandsRan: z.boolean(),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
})

export function presentDeploy(deploy: Deploy): z.input<typeof deploySchema> {
  return {
    id: deploy.id,
    app: deploy.app,
    environment: deploy.environment,
    kind: deploy.kind,
    branch: deploy.branch,
    commit: deploy.commit,
    requestedBy: deploy.requestedBy,
    state: deploy.state,
    serves: deploy.serves,
    step: deploy.step,
    release: deploy.releaseNumber === null ? null : `v${deploy.releaseNumber}`,
    from: presentOrigin(deploy.from),
    waitingFor: deploy.waitingFor,
    supersededBy: deploy.supersededBy,
    cancelRequested: deploy.cancelRequested,
    commandsRan: deploy.commandsRan,
    error: deploy.error,
    createdAt: isoTime(deploy.createdAt),
    startedAt: isoTimeOrNull(deploy.startedAt),
    finishedAt: isoTimeOrNull(deploy.finishedAt),
  }
}

function presentOrigin(from: Origin | null): z.input<typeof deploySchema>['from'] {
  if (from === null || from.number === null || from.environment === null) return null
  return { environment: from.environment, release: `v${from.number}` }
}

export const queuedDeploy = z.strictObject({
  ...deploySchema.shape,
  /** How many deploys of this environment come before it. */
  ahead: z.number().int(),
  /** Waiting deploys that this one took the place of. */
  replaced: z.array(z.number().int()),
})

export function presentQueued(deploy: Deploy, { ahead, replaced }: QueuedDeploy): z.input<typeof queuedDeploy> {
  return { ...presentDeploy(deploy), ahead, replaced: [...replaced] }
}
