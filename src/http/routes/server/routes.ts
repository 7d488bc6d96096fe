import { z } from 'zod'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { nothing } from '../../schemas.ts'

const server = z.strictObject({
  version: z.string(),
  domain: z.string(),
  url: z.string(),
  /** Who the token belongs to. */
  signedInAs: z.string(),
})

export function serverRoutes({ facts }: Pick<HttpNeeds, 'facts'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/server',
      tag: 'server',
      summary: 'What this server is, and who you are',
      action: 'server.read',
      params: nothing,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The server', schema: server },
      about: () => null,
      handle: async ({ principal }) => ({
        json: {
          version: facts.version,
          domain: facts.domain,
          url: facts.urls.control,
          signedInAs: principal.name,
        },
      }),
    }),
  ]
}
