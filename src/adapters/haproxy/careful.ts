import { maintenanceRules } from './maintenance.ts'
import { proxyPaths } from './paths.ts'
import { answer, refuse } from './render.ts'
import type { ProxySettings } from './settings.ts'

/*
 * The rules for hosts that have any: who may ask, and how often. `txn.entry` is what the host leads to, `e9/palm/9`. Requests for all
 * other hosts never come here.
 */

/** So many wrong passwords of one visitor in a minute, and its next ones are not looked at, right or wrong. */
const guessesPerMinute = 20

/** The address that a request comes from: behind trusted proxies the last one that they name and that is none of them. */
function visitorRules({ trustedProxies }: ProxySettings): string[] {
  const networks = trustedProxies.join(' ')
  const told = [-1, -2, -3].map((place) => `req.hdr_ip(x-forwarded-for,${place})`)
  const behind = told.map((from, i) => {
    const through = ['trusted', ...told.slice(0, i).map((nearer) => `{ ${nearer} ${networks} }`)].join(' ')
    return `http-request set-var(txn.from) ${from} if ${through}`
  })
  return [
    ...(trustedProxies.length > 0 ? [`acl trusted src ${networks}`] : []),
    'http-request set-var(txn.from) src',
    ...(trustedProxies.length > 0 ? behind : []),
    '# A visitor with IPv6 has a whole /64 to come from.',
    'http-request set-var(txn.visitor) var(txn.from),ipmask(32,64),hex',
    'http-request track-sc2 var(txn.env),concat(:,txn.visitor) table per_visitor',
  ]
}

function visitorLimits(s: ProxySettings): string[] {
  const { map, page } = proxyPaths(s.dataDir)
  const tooMany = (why: 'rate' | 'open', counted: string, field: number): string[] => [
    `http-request set-var(txn.bound) var(txn.limits),field(${field},/)`,
    `http-request set-var(txn.why) str(${why}) if !{ var(txn.bound) -m str 0 } { ${counted},sub(txn.bound) gt 0 }`,
    `${refuse('too-many', page('too-many'))} if { var(txn.why) -m found }`,
  ]
  return [
    `http-request set-var(txn.limits) var(txn.env),map_str(${map('limits')},0/0/0)`,
    ...tooMany('rate', 'sc2_http_req_rate', 2),
    ...tooMany('open', 'sc2_conn_cur', 3),
  ]
}

/*
 * The password is looked up by the environment and a hash of what the browser sent, whole: there is nothing to be parsed, an unknown
 * user and a wrong password are the same, and the time of the look tells nothing to whoever does not have the key. Whatever was looked
 * up and found is not for the app.
 */
function protection(s: ProxySettings): string[] {
  const { map, page, body } = proxyPaths(s.dataDir)
  const scheme = "req.fhdr(authorization),word(1,' ') -m str -i basic"
  const signIn = [
    'http-request return status 401 content-type "text/html; charset=utf-8"',
    `file ${body('sign-in')}`,
    'hdr WWW-Authenticate "Basic realm=\\"%[req.fhdr(host),host_only]\\", charset=\\"UTF-8\\""',
    'hdr Cache-Control no-store hdr X-Robots-Tag noindex',
  ].join(' ')
  return [
    'acl by-password var(txn.entry) -m sub /p',
    'acl by-address var(txn.entry) -m sub /a /pa',
    'acl is-allowed var(txn.allowed) -m found',
    'acl is-known var(txn.known) -m found',
    'acl says-who req.hdr(authorization) -m found',
    'http-request set-var(txn.digits) var(txn.from),hex if by-address',
    'http-request set-var(txn.place) var(txn.env),concat(:4,txn.digits) if by-address { var(txn.digits) -m len 8 }',
    'http-request set-var(txn.place) var(txn.env),concat(:6,txn.digits) if by-address { var(txn.digits) -m len 32 }',
    `http-request set-var(txn.allowed) var(txn.place),map_beg(${map('allowed')}) if by-address`,
    `${answer('not-allowed', page('not-allowed'))} if by-address !by-password !is-allowed`,
    `http-request set-var(txn.why) str(guesses) if by-password says-who !is-allowed { sc2_gpc0_rate gt ${guessesPerMinute} }`,
    `${refuse('too-many', page('too-many'))} if { var(txn.why) -m found }`,
    `http-request set-var(txn.credentials) req.fhdr(authorization),word(2,' ') if by-password { ${scheme} }`,
    `http-request set-var(txn.hash) var(txn.credentials),hmac(sha256,${s.passwordKey.reveal()}),hex if { var(txn.credentials) -m found }`,
    `http-request set-var(txn.known) var(txn.env),concat(:,txn.hash),map_str(${map('passwords')}) if { var(txn.hash) -m found }`,
    'http-request del-header authorization if is-known',
    'http-request sc-inc-gpc0(2) if by-password says-who !is-allowed !is-known',
    `${signIn} if by-password !is-allowed !is-known`,
  ]
}

export function carefulRules(s: ProxySettings): string[] {
  return [
    'http-request set-var(txn.env) var(txn.entry),field(3,/)',
    ...visitorRules(s),
    ...visitorLimits(s),
    ...protection(s),
    ...maintenanceRules(s.dataDir),
  ]
}
