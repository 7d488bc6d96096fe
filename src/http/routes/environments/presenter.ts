import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import type { Facts } from '../../needs.ts'

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
  }
}
