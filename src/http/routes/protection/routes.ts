import { z } from 'zod'
import { Secret } from '../../../kernel/secret.ts'
import type { Protection, ProtectionChange } from '../../../protection/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, isoTime, nothing, time } from '../../schemas.ts'

const limit = z.number().int().nullable()
const limitsSchema = z.strictObject({
  /** Open requests at each instance; null: the usual. */
  requests: limit,
  /** Requests of one visitor each second, over ten seconds; null: no limit. */
  visitorRate: limit,
  /** Open requests of one visitor; null: no limit. */
  visitorRequests: limit,
})

/** Passwords are told to nobody. */
export const protectionSchema = z.strictObject({
  environment: z.string(),
  users: z.array(z.strictObject({ name: z.string(), since: time })),
  /** Who comes from there needs no password; without users nobody else may come. */
  ranges: z.array(z.string()),
  /** Users and ranges hold for the addresses of releases alone. */
  onlyReleases: z.boolean(),
  limits: limitsSchema,
})

const text = z.string().max(500)
const ranges = z.array(text).max(100)
const change = z
  .strictObject({
    /** Adds the user, or gives it another password. */
    setUser: z.strictObject({ name: text, password: text }).optional(),
    removeUser: text.optional(),
    allow: ranges.optional(),
    disallow: ranges.optional(),
    onlyReleases: z.boolean().optional(),
    /** Removes all users and ranges first. */
    open: z.boolean().optional(),
    limits: limitsSchema.partial().optional(),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), 'nothing to change was given')

export function protectionRoutes({
  environments,
  protection,
}: Pick<HttpNeeds, 'environments' | 'protection'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/protection',
      tag: 'environments',
      summary: 'Who may ask for the sites of an environment, and how much',
      action: 'apps.read',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The protection', schema: protectionSchema },
      about: ({ app }) => app,
      async handle({ params }) {
        const { id, name } = await environments.get(params.app, params.environment)
        return { json: present(name, await protection.get(id)) }
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/apps/:app/environments/:environment/protection',
      tag: 'environments',
      summary:
        'Change who may ask for the sites of an environment, and how much. It is in force when this has answered',
      action: 'environments.change',
      params: environmentParams,
      query: nothing,
      body: change,
      success: { status: 200, description: 'The protection as it is now', schema: protectionSchema },
      about: ({ app }) => app,
      async handle({ params, body }) {
        const environment = await environments.get(params.app, params.environment)
        return { json: present(environment.name, await protection.change(environment, toChange(body))) }
      },
    }),
  ]
}

function toChange({ setUser, ...body }: z.output<typeof change>): ProtectionChange {
  // Left out and undefined are the same thing after JSON; the module tells them apart by type only.
  const rest = body as Omit<ProtectionChange, 'setUser'>
  if (setUser === undefined) return rest
  return { ...rest, setUser: { name: setUser.name, password: new Secret(setUser.password) } }
}

function present(environment: string, { users, ...rules }: Protection): z.input<typeof protectionSchema> {
  return {
    environment,
    users: users.map(({ name, since }) => ({ name, since: isoTime(since) })),
    ranges: [...rules.ranges],
    onlyReleases: rules.onlyReleases,
    limits: rules.limits,
  }
}
