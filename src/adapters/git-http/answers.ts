import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorCode, SlipwayError } from '../../kernel/errors.ts'

const statuses: Partial<Record<ErrorCode, number>> = {
  bad_request: 400,
  not_signed_in: 401,
  not_allowed: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  unavailable: 503,
  timeout: 408,
}

/** Git shows a plain text body as `remote:` lines. */
export function answerError(req: IncomingMessage, res: ServerResponse, error: SlipwayError): void {
  if (res.headersSent) {
    res.destroy()
    return
  }
  const text = [error.message, ...(error.hint === undefined ? [] : [error.hint])].join('\n')
  const status = statuses[error.code] ?? 500
  if (status === 401) res.setHeader('WWW-Authenticate', 'Basic realm="Slipway", charset="UTF-8"')
  answerText(req, res, status, text)
}

export function answerText(req: IncomingMessage, res: ServerResponse, status: number, text: string): void {
  // A body that nobody will read is not waited for.
  if (!req.complete && req.method !== 'GET') res.setHeader('Connection', 'close')
  neverCache(res)
  res.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' })
  res.end(`${text}\n`)
}

export function neverCache(res: ServerResponse): void {
  res.setHeader('Cache-Control', 'no-cache, max-age=0, must-revalidate')
}
