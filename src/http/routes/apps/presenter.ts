import { z } from 'zod'
import type { App } from '../../../environments/index.ts'
import type { Facts } from '../../needs.ts'
import { isoTime, time } from '../../schemas.ts'

export const appSchema = z.strictObject({
  name: z.string(),
  defaultBranch: z.string().nullable(),
  /** Who may see the addresses of the live environment’s releases. */
  releaseAddresses: z.enum(['off', 'protected', 'public']),
  gitUrl: z.string(),
  createdAt: time,
  /** `removing`: it goes with all that it has. */
  state: z.enum(['active', 'removing']),
})

export function presentApp(app: App, facts: Facts): z.input<typeof appSchema> {
  return {
    name: app.name,
    defaultBranch: app.defaultBranch,
    releaseAddresses: app.releaseAddresses,
    gitUrl: facts.urls.git(app.name),
    createdAt: isoTime(app.createdAt),
    state: app.isRemoving ? 'removing' : 'active',
  }
}
