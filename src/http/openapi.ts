import { z } from 'zod'
import type { Facts } from './needs.ts'
import type { Route } from './route.ts'

type Json = Record<string, unknown>

/** OpenAPI 3.1 of the API, made from the schemas that validate it. */
export function makeOpenApi(routes: readonly Route[], facts: Facts): Json {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replace(/:([a-z]+)/gi, '{$1}')
    paths[path] = { ...paths[path], [route.method]: describeRoute(route) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Slipway', version: facts.version, description: 'The HTTP API of a Slipway deploy server.' },
    servers: [{ url: `${facts.urls.control}/api/v1` }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: problemSchema },
      responses: {
        Problem: {
          description: 'What went wrong, and what to do',
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      },
    },
  }
}

function describeRoute(route: Route): Json {
  const body = toSchema(route.body, 'input')
  const hasBody = route.method !== 'get' && Object.keys((body['properties'] as Json | undefined) ?? {}).length > 0
  const { status, description, schema, streams = [] } = route.success
  const content: Json = Object.fromEntries(streams.map((type) => [type, { schema: { type: 'string' } }]))
  if (schema !== undefined) content['application/json'] = { schema: toSchema(schema, 'output') }
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    parameters: [
      ...parametersOf(route.params, 'path'),
      ...parametersOf(route.query, 'query'),
      ...(route.versioned === true && route.method !== 'get' ? [ifMatch] : []),
    ],
    ...(hasBody ? { requestBody: { required: true, content: { 'application/json': { schema: body } } } } : {}),
    responses: {
      [status]: {
        description,
        ...headersOf(route),
        content,
      },
      default: { $ref: '#/components/responses/Problem' },
    },
  }
}

const ifMatch: Json = {
  name: 'If-Match',
  in: 'header',
  required: false,
  schema: { type: 'string' },
  description: 'The ETag that the change is based on: refused with 409 when it is not the newest any more',
}

function headersOf(route: Route): Json {
  const headers: Json = {}
  if (route.method === 'post' && route.success.schema !== undefined)
    headers['Location'] = { schema: { type: 'string' }, description: 'Where the result is' }
  if (route.versioned === true) headers['ETag'] = { schema: { type: 'string' }, description: 'For If-Match' }
  return Object.keys(headers).length === 0 ? {} : { headers }
}

/** `getAppsEnvironmentsDeploys`: unique, since a path and a method are. */
function operationId(route: Route): string {
  const words = route.path.split('/').filter((part) => part !== '')
  const name = words.map((part) =>
    part.replace(/^:/, 'by-').replace(/(?:^|-)([a-z])/g, (_, c: string) => c.toUpperCase()),
  )
  return route.method + name.join('')
}

function parametersOf(schema: z.ZodType, where: 'path' | 'query'): Json[] {
  const { properties = {}, required = [] } = toSchema(schema, 'input') as { properties?: Json; required?: string[] }
  return Object.entries(properties).map(([name, its]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: its,
  }))
}

function toSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const described: Json = { ...z.toJSONSchema(schema, { io, unrepresentable: 'any' }) }
  delete described['$schema']
  return described
}

const problemSchema: Json = {
  type: 'object',
  properties: {
    type: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', description: 'Stable; decide by this' },
    title: { type: 'string' },
    detail: { type: 'string' },
    hint: { type: 'string', description: 'What to do next' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { where: { type: 'string' }, message: { type: 'string' } } },
    },
    requestId: { type: 'string' },
  },
  required: ['type', 'status', 'code', 'title', 'detail'],
}
