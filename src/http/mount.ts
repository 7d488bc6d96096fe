import express, { type Request, type RequestHandler, type Response, type Router } from 'express'
import type { z } from 'zod'
import { type Accounts, assertMay, type Principal } from '../accounts/index.ts'
import { actAs, originOf } from '../kernel/actor.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'
import { HttpProblem, type InputError, InvalidInput, tooLarge } from './errors.ts'
import type { HttpLimits } from './needs.ts'
import type { Route } from './route.ts'

export interface MountNeeds {
  readonly accounts: Accounts
  readonly limits: Pick<HttpLimits, 'bodyBytes' | 'bodyMs'>
  /** A stream failed after its route had returned. */
  readonly onStreamError: (req: Request, res: Response, error: unknown) => void
}

/** Puts the routes on a router; a known path with another method says which ones it has. */
export function mountRoutes(router: Router, routes: readonly Route[], needs: MountNeeds): void {
  const readBody = makeBodyReader(needs.limits)
  for (const route of routes) router[route.method](route.path, makeHandler(route, needs, readBody))
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map((route) => route.method.toUpperCase())
    router.all(path, (_req, res) => {
      res.setHeader('Allow', methods.join(', '))
      throw new HttpProblem('method_not_allowed', `This address takes ${methods.join(' and ')} only.`)
    })
  }
}

type BodyReader = (req: Request, res: Response) => Promise<unknown>

function makeHandler(route: Route, needs: MountNeeds, readBody: BodyReader): RequestHandler {
  return async (req, res) => {
    const principal = await authenticate(req, needs.accounts)
    // Strangers learn nothing, not even what is well-formed; then the policy decides for the app in question.
    assertSignedIn(principal)
    const params = validate(route.params, req.params, 'params')
    assertMay(principal, route.action, await route.about(params))
    const query = validate(route.query, req.query, 'query')
    const body = validate(route.body, route.method === 'get' ? {} : await readBody(req, res), 'body')
    const actor = { name: principal.name, origin: originOf('api', req.headers) }
    const ifVersion = route.versioned === true ? readIfMatch(req) : null
    const call = { principal, params, query, body, ifVersion, request: req }
    const answer = await actAs(actor, () => route.handle(call))
    if ('json' in answer) present(res, route, answer)
    else if (req.method === 'HEAD') res.status(route.success.status).end()
    // Not awaited: the stream outlives the call and ends its answer itself.
    else answer.stream(res).catch((error: unknown) => needs.onStreamError(req, res, error))
  }
}

function assertSignedIn(principal: Principal | null): asserts principal is Principal {
  if (principal === null) {
    throw new SlipwayError('not_signed_in', 'A valid token is needed.', {
      hint: 'Send the header “Authorization: Bearer <token>”, or sign in with: slipway login',
    })
  }
}

/**
 * The principal of the request's bearer token; null without a valid one. Tokens count in this header only: addresses are
 * logged.
 */
export async function authenticate(req: Pick<Request, 'headers'>, accounts: Accounts): Promise<Principal | null> {
  const match = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(req.headers.authorization ?? '')
  return match?.[1] === undefined ? null : accounts.authenticate(new Secret(match[1]))
}

function validate<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const parsed = schema.safeParse(value ?? {})
  if (parsed.success) return parsed.data
  const errors: InputError[] = parsed.error.issues.map((issue) => ({
    where: [where, ...issue.path.map(String)].join('.'),
    message: issue.message,
  }))
  throw new InvalidInput(errors)
}

/** The JSON body, or undefined when there is none; within its limits of size and time. */
function makeBodyReader(limits: MountNeeds['limits']): BodyReader {
  const parse = express.json({ limit: limits.bodyBytes, strict: true, inflate: false, type: isJson })
  return async (req, res) => {
    const length = Number(req.headers['content-length'] ?? 0)
    if (length === 0 && req.headers['transfer-encoding'] === undefined) return undefined
    if (!isJson(req)) {
      throw new HttpProblem(
        'unsupported_media_type',
        'The body must be JSON, in UTF-8, with “Content-Type: application/json”.',
      )
    }
    // The parser would read all of it first.
    if (length > limits.bodyBytes) throw tooLarge()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = new SlipwayError('bad_request', `The body did not arrive within ${limits.bodyMs / 1000} s.`)
      timer = setTimeout(() => reject(error), limits.bodyMs)
    })
    const parsed = new Promise<unknown>((resolve, reject) => {
      parse(req, res, (error?: unknown) => {
        if (error === undefined) resolve(req.body)
        else reject(error instanceof Error ? error : new SlipwayError('bad_request', 'The body cannot be read.'))
      })
    })
    return Promise.race([parsed, late]).finally(() => clearTimeout(timer))
  }
}

function isJson(req: { headers: Record<string, string | string[] | undefined> }): boolean {
  return /^application\/json *(?:; *charset="?utf-8"?)?$/i.test(String(req.headers['content-type'] ?? ''))
}

function readIfMatch(req: Request): number | null {
  const given = req.headers['if-match']
  if (given === undefined || given.trim() === '*') return null
  const [, version] = /^"([0-9]{1,15})"$/.exec(given.trim()) ?? []
  if (version !== undefined) return Number(version)
  throw new InvalidInput([{ where: 'headers.if-match', message: 'must be one ETag as this address gave it: "12"' }])
}

function present(res: Response, route: Route, answer: { json: unknown; location?: string; version?: number }): void {
  const checked = route.success.schema?.safeParse(answer.json)
  if (checked?.success !== true) {
    throw new SlipwayError('internal', 'An answer does not fit its schema.', { cause: checked?.error })
  }
  if (answer.location !== undefined) res.setHeader('Location', answer.location)
  if (answer.version !== undefined) res.setHeader('ETag', `"${answer.version}"`)
  res.status(route.success.status).json(checked.data)
}
