import { createHash } from 'node:crypto'
import type { RequestHandler } from 'express'

/** On every answer but Git's: nothing here is framed, scripted, cached or sniffed, and no address leaks to other sites. */
export const securityHeaders: RequestHandler = (_req, res, next) => {
  res.setHeader('Content-Security-Policy', policy(''))
  res.setHeader('X-Content-Type-Options', 'nosniff')
  res.setHeader('X-Frame-Options', 'DENY')
  res.setHeader('Referrer-Policy', 'no-referrer')
  res.setHeader('Cross-Origin-Resource-Policy', 'same-origin')
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  res.setHeader('X-Robots-Tag', 'noindex')
  res.setHeader('Cache-Control', 'no-store')
  next()
}

/** The policy for a page with this one style sheet inside. */
export function policyWithStyle(css: string): string {
  return policy(`style-src 'sha256-${createHash('sha256').update(css).digest('base64')}'; `)
}

function policy(extra: string): string {
  return `default-src 'none'; ${extra}base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}
