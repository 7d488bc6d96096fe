import { basename } from 'node:path'
import { carefulRules } from './careful.ts'
import { proxyPaths } from './paths.ts'
import { answer, refuse, section } from './render.ts'
import type { ProxySettings } from './settings.ts'

/** Bodies for apps, by their Content-Length. A chunked body has none and passes: HAProxy 2.6 cannot count it on its way. */
const maxBodyBytes = 500 * 1024 * 1024

/**
 * Open requests at one instance, upgraded connections among them: one that does not answer must not take the proxy's connections from
 * all others. Some more wait for a moment.
 */
export const usualRequests = 2_000
const mostWaiting = 100

export const states = ['failed', 'stopped', 'asleep'] as const

/** Tells the app who asked. Behind a trusted proxy what that one says stays, and its own address is appended. */
function forwarded({ port, trustedProxies }: ProxySettings): string[] {
  const trusted = trustedProxies.length > 0
  const unlessGiven = (...names: string[]): string =>
    trusted ? ` unless ${names.map((name) => `{ req.hdr(${name}) -m found }`).join(' || ')}` : ''
  return [
    'option forwardfor',
    `http-request add-header X-Forwarded-Host %[req.fhdr(host)]${unlessGiven('x-forwarded-host')}`,
    `http-request add-header X-Forwarded-Port ${port}${unlessGiven('x-forwarded-port', 'x-forwarded-proto')}`,
    `http-request add-header X-Forwarded-Proto http${unlessGiven('x-forwarded-proto')}`,
  ]
}

export function backends(s: ProxySettings): string {
  const { page, httpSocket } = proxyPaths(s.dataDir)
  const constant = ['unknown-host', 'nothing-live', ...states] as const
  const direct = {
    key: 'var(txn.direct),field(2,@)',
    target: 'var(txn.direct)',
    tracked: 'var(txn.direct),field(1,@)',
  }
  return [
    section('backend app-listed', appRules(s, direct)),
    section('backend app-direct', [...appRules(s, direct), hide]),
    '# A set of one is its own member, which saves the choice.',
    section('backend app-one', [
      ...nameRelease,
      ...findTarget(s),
      tooLarge(s),
      ...appRules(s, found),
      `${hide} unless ${isListed}`,
    ]),
    section('backend app-many', [
      ...nameRelease,
      ...chooseMember(s),
      ...appRules(s, found),
      `${hide} unless ${isListed}`,
    ]),
    section('backend app-careful', [
      ...carefulRules(s),
      ...nameRelease,
      ...states.map((state) => `${answer(state, page(state))} if { var(txn.to) -m str ${state} }`),
      `${answer('nothing-live', page('nothing-live'))} unless { var(txn.to) -m found }`,
      ...chooseMember(s),
      '# The bound of its own.',
      'http-request set-var(txn.bound) var(txn.limits),field(1,/)',
      `http-request set-var(txn.bound) int(${usualRequests}) if { var(txn.bound) -m str 0 }`,
      ...appRules(s, found, true),
      `${hide} unless ${isListed}`,
    ]),
    '# Git pushes wait for whole deploys and send what they have: no limit on bodies, hours to answer.',
    section('backend slipway', ['timeout server 6h', 'retries 0', ...forwarded(s), ...toSlipway(s, httpSocket)]),
    '# Releases that do not run: Slipway answers on a socket that nothing else of the outside leads to.',
    section('backend releases-careful', [...carefulRules(s), ...toReleases(s)]),
    section('backend releases', toReleases(s)),
    ...constant.map((name) => section(`backend page-${name}`, [answer(name, page(name))])),
  ].join('\n')
}

/** What nothing runs for: Slipway starts it, or says why not. It reads no bodies. */
function toReleases(s: ProxySettings): string[] {
  return ['timeout server 30s', 'retries 0', ...toSlipway(s, proxyPaths(s.dataDir).releasesSocket)]
}

function toSlipway(s: ProxySettings, socket: string): string[] {
  const { page } = proxyPaths(s.dataDir)
  return [
    `errorfile 502 ${page('slipway-down')}`,
    `errorfile 503 ${page('slipway-down')}`,
    `server slipway unix@${s.user === null ? socket : `/${basename(socket)}`}`,
  ]
}

/** Search engines list the live site alone, not what is tried out beside it. */
const hide = 'http-response add-header X-Robots-Tag noindex'
const isListed = '{ var(txn.entry) -m sub i/ }'

/** At a release's own address (route key `r…`) every answer of the release says which one it is, whatever the app says. */
const nameRelease = [
  'http-request set-var(txn.release) req.fhdr(host),field(1,-),lower if { var(txn.key) -m beg r }',
  'http-response set-header X-Slipway-Release %[var(txn.release)] if { var(txn.release) -m found }',
]

function chooseMember(s: ProxySettings): string[] {
  return [
    'http-request set-var(txn.size) var(txn.to),field(2,/)',
    '# Each in turn, counted for each route: by chance one of three would get a fifth more than its share again and again.',
    'http-request track-sc1 var(txn.key) table per_set',
    'http-request set-var(txn.member) sc_inc_gpc0(1),mod(txn.size),add(1)',
    'http-request set-var(txn.to) var(txn.to),field(1,/),concat(/,txn.member)',
    ...findTarget(s),
    tooLarge(s),
  ]
}

/** From the member in txn.to to its address. Without an address nothing is connected: `0.0.0.0:0` would be this proxy itself. */
function findTarget(s: ProxySettings): string[] {
  const { map, page } = proxyPaths(s.dataDir)
  return [
    `http-request set-var(txn.target) var(txn.to),map_str(${map('targets')})`,
    `${answer('unreachable', page('unreachable'))} unless { var(txn.target) -m found }`,
  ]
}

export function tooLarge(s: ProxySettings): string {
  const file = proxyPaths(s.dataDir).page('too-large')
  return `${answer('too-large', file)} if { req.hdr_val(content-length) gt ${maxBodyBytes} }`
}

/** Where the route's key and the instance's address are to be had: what is used twice only is cheaper without a variable. */
const found = { key: 'var(txn.key)', target: 'var(txn.target)', tracked: 'var(txn.target)' }

/** Sends the request to the instance. A port ends before what is no digit, so `target` may have more behind its own. */
function appRules(s: ProxySettings, { key, target, tracked }: typeof found, isBounded = false): string[] {
  return [
    ...forwarded(s),
    `http-request track-sc0 ${tracked} table per_target`,
    `http-request set-dst ${target},field(1,:)`,
    `http-request set-dst-port ${target},field(2,:)`,
    `http-request set-timeout server ${key},map_str_int(${proxyPaths(s.dataDir).map('timeouts')})`,
    ...(isBounded
      ? ['http-request allow if !{ sc0_conn_cur,sub(txn.bound) gt 0 }']
      : [
          `http-request allow if { sc0_conn_cur le ${usualRequests} }`,
          `http-request set-var(txn.bound) int(${usualRequests})`,
        ]),
    ...waitInLine(s, tracked),
    'server instance 0.0.0.0:0',
  ]
}

/** Reached by those alone that find as many open requests as there may be. */
function waitInLine({ dataDir }: ProxySettings, tracked: string): string[] {
  return [
    `http-request set-var(txn.tracked) ${tracked}`,
    'http-request set-var(txn.why) str(full)',
    `http-request lua.queue unless { sc0_conn_cur,sub(txn.bound) gt ${mostWaiting} }`,
    `${refuse('busy', proxyPaths(dataDir).page('busy'))} if { var(txn.why) -m found }`,
  ]
}
