import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { ReleaseAnswer } from '../deploys/index.ts'
import type { Logger } from '../kernel/logger.ts'
import { presentRelease, type ReleasePage, renderReleasePage, renderReleaseText } from './release-page.ts'
import { policyWithStyle } from './security-headers.ts'

/**
 * Answers at the addresses of releases that do not run: the proxy sends those here, on a socket of their own, after it has asked for the
 * environment's password. Bodies are not read.
 */
export function makeReleaseDoor({
  askFor,
  logger,
}: {
  /** Host in lower case, without port. */
  readonly askFor: (host: string) => Promise<ReleaseAnswer>
  readonly logger: Logger
}): RequestListener {
  let looking = 0
  const look = async (host: string): Promise<ReleaseAnswer | { kind: 'unavailable' }> => {
    if (looking >= mostAtOnce) return { kind: 'unavailable' }
    looking += 1
    try {
      return await askFor(host)
    } catch (error) {
      logger.warn('a release could not be looked up', { error })
      return { kind: 'unavailable' }
    } finally {
      looking -= 1
    }
  }
  return (req, res) => void look(hostOf(req)).then((answer) => send(req, res, presentRelease(answer)))
}

/** Each is a question to the database, which has others to answer, too. */
const mostAtOnce = 10

function hostOf(req: IncomingMessage): string {
  return (req.headers.host ?? '')
    .toLowerCase()
    .replace(/:[0-9]+$/, '')
    .replace(/\.$/, '')
}

function send(req: IncomingMessage, res: ServerResponse, page: ReleasePage): void {
  const isForPeople = req.method === 'GET' && (req.headers.accept ?? '').includes('text/html')
  const { text, css } = isForPeople ? renderReleasePage(page) : { text: renderReleaseText(page), css: null }
  res.statusCode = page.status
  if (page.retryAfterS !== null) res.setHeader('Retry-After', page.retryAfterS)
  res.setHeader('Content-Type', `text/${isForPeople ? 'html' : 'plain'}; charset=utf-8`)
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('X-Robots-Tag', 'noindex')
  res.setHeader('X-Content-Type-Options', 'nosniff')
  if (css !== null) res.setHeader('Content-Security-Policy', policyWithStyle(css))
  // A body that nobody reads would come before the next request.
  if (req.headers['content-length'] !== undefined || req.headers['transfer-encoding'] !== undefined)
    res.setHeader('Connection', 'close')
  res.end(req.method === 'HEAD' ? undefined : text)
}
