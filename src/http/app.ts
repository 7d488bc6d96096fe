import { randomBytes } from 'node:crypto'
import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import { SlipwayError } from '../kernel/errors.ts'
import { sendProblem } from './errors.ts'
import { makeFrontPage } from './front-page.ts'
import { metricsHandler } from './metrics.ts'
import { mountRoutes } from './mount.ts'
import { defaultLimits, type HttpLimits, type HttpNeeds } from './needs.ts'
import { makeOpenApi } from './openapi.ts'
import { readinessHandler } from './readiness.ts'
import { allRoutes } from './routes/index.ts'
import { securityHeaders } from './security-headers.ts'
import { makeStreams } from './streams.ts'

export interface HttpAppOptions extends Omit<HttpNeeds, 'limits'> {
  /** Gets every request below `/<name>.git`, untouched. */
  readonly gitHandler: RequestHandler
  readonly limits?: Partial<HttpLimits>
}

/** Everything that the control host answers: Git, the API, health, metrics, a page. No cookies, no CORS. */
export function makeHttpApp(options: HttpAppOptions): Express {
  const needs: HttpNeeds = { ...options, limits: { ...defaultLimits, ...options.limits } }
  const { logger, facts } = needs
  const streams = makeStreams(needs)
  const routes = allRoutes({ ...needs, streams })
  const requestIds = new WeakMap<Request, string>()
  const fail = (req: Request, res: Response, error: unknown): void =>
    sendProblem(req, res, error, { logger, requestId: requestIds.get(req) ?? '' })

  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('query parser', 'simple')

  app.use((req, res, next) => {
    const id = randomBytes(8).toString('hex')
    requestIds.set(req, id)
    res.setHeader('X-Request-Id', id)
    const begun = performance.now()
    res.once('close', () => {
      const ms = Math.round(performance.now() - begun)
      logger.debug('request', { requestId: id, method: req.method, path: pathOf(req), status: res.statusCode, ms })
    })
    next()
  })
  app.use((req, res, next) => (isGitPath(req.url) ? options.gitHandler(req, res, next) : next()))
  app.use(securityHeaders)

  app.get('/healthz', (_req, res) => void res.json({ status: 'alive' }))
  app.get('/readyz', readinessHandler(needs.readiness))
  app.get('/metrics', metricsHandler({ ...needs, streams }))
  app.get('/', makeFrontPage(facts))
  app.get('/robots.txt', (_req, res) => void res.type('text/plain').send('User-agent: *\nDisallow: /\n'))

  const api = express.Router({ caseSensitive: true, strict: true })
  const description = JSON.stringify(makeOpenApi(routes, facts))
  api.get('/openapi.json', (_req, res) => void res.type('application/json').send(description))
  mountRoutes(api, routes, { accounts: needs.accounts, limits: needs.limits, onStreamError: fail })
  api.use((req) => {
    throw new SlipwayError('not_found', `There is nothing at ${req.method} ${pathOf(req)}.`, {
      hint: 'All addresses stand in /api/v1/openapi.json.',
    })
  })
  app.use('/api/v1', api)

  app.use((_req: Request, res: Response) => void res.status(404).type('text/plain').send('Not found.\n'))
  // Express knows an error handler by its four arguments.
  app.use((error: unknown, req: Request, res: Response, _next: unknown) => fail(req, res, error))
  return app
}

function isGitPath(url: string): boolean {
  return /^\/(?!api\/)[^?]*\.git(?:[/?]|$)/.test(url)
}

/** Without the query: nothing that somebody put there by mistake is logged. */
function pathOf(req: Request): string {
  return (req.originalUrl.split('?', 1)[0] ?? '').slice(0, 200)
}
