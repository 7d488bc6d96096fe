import { usualMessage } from '../../routing/index.ts'

/*
 * The pages that the proxy answers with by itself. They are constant: nothing of a request ever gets into one, so a
 * hostile host name or path has nothing to be reflected from. The one of maintenance tells what its owners say (`maintenance.ts`).
 */

export interface Page {
  readonly status: number
  readonly reason: string
  readonly title: string
  readonly text: string
  /** Seconds in `Retry-After`; null where trying again changes nothing. */
  readonly retryAfter: number | null
}

export const pages = {
  'unknown-host': {
    status: 404,
    reason: 'Not Found',
    title: 'There is no site at this address',
    text: 'Nothing answers under this name here. Check the spelling of the address.',
    retryAfter: null,
  },
  'nothing-live': {
    status: 503,
    reason: 'Service Unavailable',
    title: 'Nothing is live here yet',
    text: 'This environment exists, but no version has been deployed to it so far.',
    retryAfter: 30,
  },
  failed: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site has crashed',
    text: 'The version that is live here stopped working. Its owners can see why in its logs. Please try again later.',
    retryAfter: 30,
  },
  stopped: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site is stopped',
    text: 'Its owners have stopped it for now.',
    retryAfter: 300,
  },
  asleep: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site is asleep',
    text: 'It is being started. Please try again in a few seconds.',
    retryAfter: 5,
  },
  maintenance: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site is being worked on',
    text: usualMessage,
    retryAfter: 120,
  },
  unreachable: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site does not answer',
    text: 'It cannot be reached at the moment. Please try again in a few seconds.',
    retryAfter: 5,
  },
  'bad-answer': {
    status: 502,
    reason: 'Bad Gateway',
    title: 'This site sent no proper answer',
    text: 'It closed the connection or answered with something that is not HTTP.',
    retryAfter: null,
  },
  'too-slow': {
    status: 504,
    reason: 'Gateway Timeout',
    title: 'This site took too long to answer',
    text: 'The request was given up after the time that is set for this environment.',
    retryAfter: null,
  },
  'too-large': {
    status: 413,
    reason: 'Content Too Large',
    title: 'This request is too large',
    text: 'At most 500 MB can be sent in one request.',
    retryAfter: null,
  },
  'sign-in': {
    status: 401,
    reason: 'Unauthorized',
    title: 'This site wants a password',
    text: 'Its owners have given one to those who may see it.',
    retryAfter: null,
  },
  'not-allowed': {
    status: 403,
    reason: 'Forbidden',
    title: 'This site cannot be seen from here',
    text: 'Its owners let in only visitors from addresses that they have named.',
    retryAfter: null,
  },
  'too-many': {
    status: 429,
    reason: 'Too Many Requests',
    title: 'Too many requests',
    text: 'This is more than one visitor may ask for here. Please try again in a minute.',
    retryAfter: 60,
  },
  busy: {
    status: 503,
    reason: 'Service Unavailable',
    title: 'This site has too much to do',
    text: 'More is asked of it at once than it may answer. Please try again in a few seconds.',
    retryAfter: 5,
  },
  'slipway-down': {
    status: 503,
    reason: 'Service Unavailable',
    title: 'Slipway is restarting',
    text: 'Deploys and the dashboard will be back in a moment. The sites it runs go on meanwhile.',
    retryAfter: 5,
  },
} as const satisfies Record<string, Page>

export type PageName = keyof typeof pages

/** A complete HTTP/1.1 response for HAProxy's `errorfile`. */
export function renderPage(page: Page, template: string): string {
  const body = renderBody(page, template)
  const head = [
    `HTTP/1.1 ${page.status} ${page.reason}`,
    'Content-Type: text/html; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Robots-Tag: noindex',
    ...(page.retryAfter === null ? [] : [`Retry-After: ${page.retryAfter}`]),
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

export function renderBody(page: Page, template: string): string {
  return template.replaceAll('{{title}}', page.title).replaceAll('{{text}}', page.text)
}
