import { renderBody, pages } from './pages.ts'
import { proxyPaths } from './paths.ts'

/*
 * What a visitor is told of a site that is being worked on. The words are a person's, and reach the proxy as one word of a map,
 * `<plain>/<HTML>`: everything but letters and digits as its bytes, so that nothing of them is read as anything else on the way. The
 * proxy decodes them when it answers, whether Slipway runs or not.
 */

const retryAfterSeconds = 120

export function encodeMessage(message: string): string {
  return `${toWord(message)}/${toWord(escapeHtml(message))}`
}

export function decodeMessage(value: string): string {
  try {
    return decodeURIComponent(value.split('/', 1)[0] ?? '')
  } catch {
    // Not of our making: it differs from what should be there, and is written anew.
    return ''
  }
}

function toWord(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const char = String.fromCharCode(byte)
      return /[A-Za-z0-9]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"'`=]/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** The page as a format of HAProxy's, in which a percent sign begins something unless it is there twice. */
export function renderMaintenancePage(template: string): string {
  const mark = '@message@'
  const page = renderBody({ ...pages.maintenance, text: mark }, template)
  return page.replaceAll('%', '%%').replaceAll(mark, '%[var(txn.worked),field(2,/),url_dec]')
}

/** Behind the protection: who may not see the site is not told of it. Who comes from a range that is let in sees it. */
export function maintenanceRules(dataDir: string): string[] {
  const { map, body } = proxyPaths(dataDir)
  const headers = `hdr Retry-After ${retryAfterSeconds} hdr Cache-Control no-store hdr X-Robots-Tag noindex hdr X-Content-Type-Options nosniff`
  const held = 'if is-worked-on !may-pass'
  const answerWith = 'http-request return status 503 content-type'
  return [
    'acl is-worked-on var(txn.entry) -m sub m',
    'acl may-pass var(txn.passes) -m found',
    'http-request set-var(txn.digits) var(txn.from),hex if is-worked-on',
    'http-request set-var(txn.worker) str(m),concat(,txn.env) if is-worked-on',
    'http-request set-var(txn.place) var(txn.worker),concat(:4,txn.digits) if is-worked-on { var(txn.digits) -m len 8 }',
    'http-request set-var(txn.place) var(txn.worker),concat(:6,txn.digits) if is-worked-on { var(txn.digits) -m len 32 }',
    `http-request set-var(txn.passes) var(txn.place),map_beg(${map('allowed')}) if is-worked-on`,
    '# A message that is lost opens nothing.',
    `http-request set-var(txn.worked) var(txn.env),map_str(${map('maintenance')},${encodeMessage(pages.maintenance.text)}) ${held}`,
    `${answerWith} "text/html; charset=utf-8" lf-file ${body('maintenance')} ${headers} ${held} { req.hdr(accept) -m sub -i text/html }`,
    `${answerWith} "text/plain; charset=utf-8" lf-string "%[var(txn.worked),field(1,/),url_dec]\\n" ${headers} ${held}`,
  ]
}
