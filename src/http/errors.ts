import type { Request, Response } from 'express'
import { asSlipwayError, type ErrorCode, SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'

type ProblemCode = ErrorCode | 'method_not_allowed' | 'unsupported_media_type'

/** The one table from what went wrong to an HTTP status. */
const problems: Readonly<Record<ProblemCode, { status: number; title: string }>> = {
  bad_request: { status: 400, title: 'The request cannot be understood' },
  not_signed_in: { status: 401, title: 'Not signed in' },
  not_allowed: { status: 403, title: 'Not allowed' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  conflict: { status: 409, title: 'Conflict' },
  cancelled: { status: 409, title: 'Cancelled' },
  superseded: { status: 409, title: 'Replaced by a newer one' },
  too_large: { status: 413, title: 'Too large' },
  unsupported_media_type: { status: 415, title: 'Not JSON' },
  config_invalid: { status: 422, title: 'The configuration is invalid' },
  build_failed: { status: 422, title: 'The build failed' },
  command_failed: { status: 422, title: 'A command failed' },
  start_failed: { status: 422, title: 'The start failed' },
  check_failed: { status: 422, title: 'A check failed' },
  internal: { status: 500, title: 'Something went wrong inside Slipway' },
  unavailable: { status: 503, title: 'Not available now' },
  timeout: { status: 504, title: 'No answer in time' },
}

export interface Problem {
  readonly type: 'about:blank'
  readonly status: number
  readonly code: ProblemCode
  readonly title: string
  readonly detail: string
  readonly hint?: string
  /** What is wrong where, for input that failed validation. */
  readonly errors?: readonly InputError[]
  readonly requestId?: string
}

export interface InputError {
  /** `params.app`, `query.after`, `body.commit`. */
  readonly where: string
  readonly message: string
}

/** Input that does not fit its schema. */
export class InvalidInput extends SlipwayError {
  readonly errors: readonly InputError[]

  constructor(errors: readonly InputError[]) {
    super('bad_request', errors.map((e) => `${e.where}: ${e.message}`).join('; '), {
      hint: 'What this address takes stands in /api/v1/openapi.json.',
    })
    this.errors = errors
  }
}

/** A problem that only HTTP has. */
export class HttpProblem extends Error {
  readonly code: 'method_not_allowed' | 'unsupported_media_type'

  constructor(code: 'method_not_allowed' | 'unsupported_media_type', message: string) {
    super(message)
    this.code = code
  }
}

export function problemOf(thrown: unknown, requestId: string): Problem {
  if (thrown instanceof HttpProblem) return makeProblem(thrown.code, thrown.message)
  const error = asSlipwayError(fromParser(thrown))
  if (error.code === 'internal') {
    const detail = 'Something went wrong inside Slipway.'
    return {
      ...makeProblem('internal', detail, `The server’s log has the details under request ${requestId}.`),
      requestId,
    }
  }
  return {
    ...makeProblem(error.code, error.message, error.hint),
    ...(error instanceof InvalidInput ? { errors: error.errors } : {}),
    requestId,
  }
}

function makeProblem(code: ProblemCode, detail: string, hint?: string): Problem {
  return { type: 'about:blank', code, ...problems[code], detail, ...(hint === undefined ? {} : { hint }) }
}

/** Express and its body parser throw errors of their own, with a `type` and a 4xx `status`. */
function fromParser(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof SlipwayError) return thrown
  const { type, status } = thrown as { type?: unknown; status?: unknown }
  if (type === 'entity.too.large') return tooLarge()
  if (type === 'entity.parse.failed') return new SlipwayError('bad_request', 'The body is not valid JSON.')
  if (type === 'encoding.unsupported' || type === 'charset.unsupported') {
    return new SlipwayError('bad_request', 'The body must be plain JSON in UTF-8, not compressed.')
  }
  if (thrown instanceof URIError || (typeof status === 'number' && status >= 400 && status < 500)) {
    return new SlipwayError('bad_request', 'The request is malformed.')
  }
  return thrown
}

export function tooLarge(): SlipwayError {
  return new SlipwayError('too_large', 'The body of an API call may have at most 1 MB.')
}

export interface ProblemContext {
  readonly logger: Logger
  readonly requestId: string
}

/** Answers with the problem; when the answer has begun already, cuts the connection so that nobody takes it for whole. */
export function sendProblem(req: Request, res: Response, thrown: unknown, context: ProblemContext): void {
  const problem = problemOf(thrown, context.requestId)
  if (problem.status >= 500) {
    const fields = { requestId: context.requestId, method: req.method, path: req.path, error: thrown }
    context.logger[problem.code === 'internal' ? 'error' : 'warn']('a request failed', fields)
  }
  if (res.headersSent) {
    res.destroy()
    return
  }
  if (problem.status === 401) res.setHeader('WWW-Authenticate', 'Bearer realm="slipway"')
  if (problem.status === 503) res.setHeader('Retry-After', '2')
  // What is left of a refused body is not read: the connection ends instead of waiting for it.
  if (!req.complete) res.setHeader('Connection', 'close')
  res.status(problem.status).type('application/problem+json').send(JSON.stringify(problem))
}
