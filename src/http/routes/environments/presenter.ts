import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import type { Facts } from '../../needs.ts'
import { isoTime, time } from '../../schemas.ts'

export const environmentSchema = z.strictObject({
  app: z.string(),
  name: z.string(),
  label: z.string(),
  live: z.boolean(),
  url: z.string(),
  /** Its own branch; null follows the app's default branch. */
  branch: z.string().nullable(),
  /** The branch it follows in effect; null while the app has none. */
  followedBranch: z.string().nullable(),
  deployOnPush: z.boolean(),
  allowForcedPush: z.boolean(),
  /** What a newer push takes the place of: a waiting push, or also a running one that has not reached its release commands. */
  supersede: z.enum(['waiting', 'running']),
  /** A push deploys nothing here until somebody deploys by hand: so after a rollback. */
  held: z.boolean(),
  /** Somebody holds its deploys back; null: nobody does. */
  lock: z
    .strictObject({
      reason: z.string(),
      by: z.string(),
      since: time,
      /** Deploys wait for the unlock; else they are refused. */
      waits: z.boolean(),
      allowsRollbacks: z.boolean(),
    })
    .nullable(),
  /** Visitors are told that the site is being worked on (503); null: they see it. */
  maintenance: z
    .strictObject({
      /** Empty: the page’s own words. */
      message: z.string(),
      by: z.string(),
      since: time,
      /** Who comes from there sees the site. */
      allow: z.array(z.string()),
    })
    .nullable(),
  /** `stopped`: its address says so, and nothing of it runs. `removing`: it goes with all that it has. */
  state: z.enum(['active', 'stopped', 'removing']),
  /** Who may see it; no users and no ranges: everybody. */
  protection: z.strictObject({
    users: z.number().int(),
    ranges: z.number().int(),
    /** Only for the addresses of releases. */
    onlyReleases: z.boolean(),
  }),
  /** Grows with each change; `If-Match` takes it. */
  version: z.number().int(),
})

/** What a change answers. */
export const changedSchema = z.strictObject({
  ...environmentSchema.shape,
  /** Whether the branch that it follows is there; while it is not, nothing is deployed, and it is followed when it comes. */
  branchIsThere: z.boolean(),
})

export function presentEnvironment(environment: Environment, facts: Facts): z.input<typeof environmentSchema> {
  return {
    app: environment.app,
    name: environment.name,
    label: environment.label,
    live: environment.live,
    url: facts.urls.environment(environment.label),
    branch: environment.branch,
    followedBranch: environment.followedBranch,
    deployOnPush: environment.deployOnPush,
    allowForcedPush: environment.allowForcedPush,
    supersede: environment.supersede,
    held: environment.held,
    lock: environment.lock === null ? null : { ...environment.lock, since: isoTime(environment.lock.since) },
    maintenance: presentMaintenance(environment),
    state: environment.state,
    protection: environment.protection,
    version: environment.version,
  }
}

function presentMaintenance({ maintenance }: Environment): z.input<typeof environmentSchema>['maintenance'] {
  if (maintenance === null) return null
  return { ...maintenance, since: isoTime(maintenance.since), allow: [...maintenance.allow] }
}
