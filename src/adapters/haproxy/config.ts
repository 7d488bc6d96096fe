import { createHash } from 'node:crypto'
import { rateSeconds } from './rule-entries.ts'
import { backends, states, tooLarge } from './backends.ts'
import { proxyPaths } from './paths.ts'
import { section } from './render.ts'
import { logRules, ringLines } from './request-log.ts'
import { targetKeptMs } from './socket.ts'
import { checkSettings, type ProxySettings } from './settings.ts'

/** How long a client's connection may be open without a request. After a reload the old process leads one more request of each. */
export const keepAliveMs = 60_000

/*
 * Headers by which a stranger could pass for a proxy, for Slipway, or for another client. With any sign between the words:
 * CGI-like interfaces (WSGI, PHP) turn `-` and `_`, some of them every odd sign, into one variable. `proxy` becomes HTTP_PROXY
 * there. `http2-settings` and `upgrade: h2c` would open a tunnel past every rule of this file.
 */
const sign = '[-_.~!*+|]'
const forwardingHeaders = `^(x${sign}(forwarded|real${sign}ip|client${sign}ip|cluster${sign}client|original${sign}(url|uri|host|for|proto)|rewrite${sign}url)|forwarded$|(true${sign}client|client|cf${sign}connecting)${sign}ip$)`
const forgedHeaders = `^(x${sign}slipway|proxy$|http2${sign}settings$)`
const eitherHeaders = `(${forwardingHeaders}|${forgedHeaders})`

/*
 * The beginnings of all header names that any rule below looks at, as they stand in the list of a request's names. Without one of them
 * no rule has anything to refuse, to remove or to limit. It may say yes too often, but never too seldom.
 */
const ruledNames = [
  ...['content-length', 'transfer-encoding', 'connection', 'upgrade', 'host,(.*,)?host'],
  ...[forwardingHeaders, forgedHeaders].map((names) => names.replaceAll('^', '').replaceAll('$', '')),
]
const ruledHeaders = `(^|,)(${ruledNames.join('|')})`

/** The whole configuration: a pure function of validated settings. `configHash` of it is what a running proxy is known by. */
export function renderConfig(settings: ProxySettings): string {
  checkSettings(settings)
  const text = [
    globals(settings),
    ring(settings),
    defaults(settings),
    tables,
    frontend(settings),
    backends(settings),
  ].join('\n')
  return text.replace(hashMark, createHash('sha256').update(text).digest('hex').slice(0, 16))
}

const hashMark = '@hash@'

/** The hash inside a rendered configuration, as `show info` of a running proxy tells it. */
export function configHash(config: string): string {
  return /^ {4}description slipway-([0-9a-f]{16})$/m.exec(config)?.[1] ?? ''
}

function globals(s: ProxySettings): string {
  const paths = proxyPaths(s.dataDir)
  // With root's help the process is locked into run/ and becomes its own user: the data folder may stay closed to it.
  const drop = s.user === null ? [] : [`user ${s.user}`, `group ${s.user}`, `chroot ${paths.run}`]
  return section('global', [
    `description slipway-${hashMark}`,
    `stats socket ${paths.socket} mode 600 level admin expose-fd listeners`,
    `lua-load ${paths.queue}`,
    'stats timeout 1h',
    'stats maxconn 64',
    ...drop,
    '# maxconn follows from the limit of open files, whatever it is; a fixed one above it keeps HAProxy from starting.',
    'fd-hard-limit 131072',
    '# The few patterns here are quicker to match than to look up among the latest results.',
    'tune.pattern.cache-size 0',
    '# Another process on the same port is an error, not somebody to share the connections with.',
    'noreuseport',
    '# What a reload left behind may finish, but not for ever.',
    'hard-stop-after 6h',
  ])
}

/** Where lines of requests wait for Slipway. */
function ring({ routerLog }: ProxySettings): string {
  return (routerLog ?? 'errors') === 'off' ? '' : section('ring requests', ringLines)
}

function defaults(s: ProxySettings): string {
  const { page } = proxyPaths(s.dataDir)
  return section('defaults', [
    'mode http',
    'timeout connect 3s',
    'timeout client 300s',
    'timeout client-fin 30s',
    'timeout server 300s',
    'timeout tunnel 24h',
    'timeout http-request 15s',
    `timeout http-keep-alive ${keepAliveMs / 1000}s`,
    'option http-keep-alive',
    '# A reload closes no connection on which a client may just be sending: it is closed with the answer to that request.',
    'option idle-close-on-response',
    'http-reuse safe',
    '# A client that hung up is seen at once, so that the count of open requests is right while a release set drains.',
    'option abortonclose',
    'option http-ignore-probes',
    'retries 2',
    'retry-on conn-failure',
    `errorfile 502 ${page('bad-answer')}`,
    `errorfile 503 ${page('unreachable')}`,
    `errorfile 504 ${page('too-slow')}`,
  ])
}

/*
 * One table, for each address: what drains and what an environment does are both read from it (an environment's figures are the
 * sum over its instances). A second table for each environment costs another 5 % of CPU on every request.
 */
const tables = [
  section('backend per_target', [
    `stick-table type string len 24 size 100k expire ${targetKeptMs / 3_600_000}h store conn_cur,http_req_cnt,bytes_out_cnt`,
  ]),
  '# Whose turn it is, of routes whose set has several members.',
  section('backend per_set', ['stick-table type string len 24 size 100k expire 24h store gpc0']),
  '# What a visitor does in an environment that has rules: a row of some 200 bytes for as long as it comes.',
  section('backend per_visitor', [
    `stick-table type string len 52 size 100k expire 5m store conn_cur,http_req_rate(${rateSeconds}s),gpc0_rate(60s)`,
  ]),
].join('\n')

/**
 * Most requests are plain (nothing in them concerns any rule) and find their instance at the first look: four conditions let them go on at
 * once. All others pass every rule. A rule costs 0.1 to 0.4 µs of some 12, so what comes before that is dear, and nothing after it.
 */
function frontend(s: ProxySettings): string {
  const { map } = proxyPaths(s.dataDir)
  const trusted = s.trustedProxies.length > 0
  return section('frontend public', [
    `bind ${s.bind}:${s.port}`,
    ...logRules(s.routerLog ?? 'errors'),
    ...(trusted ? [`acl trusted src ${s.trustedProxies.join(' ')}`] : []),
    '# One look for most requests. In large maps each is a walk through cold memory, which costs more than all other rules together.',
    `http-request set-var(txn.direct) req.fhdr(host),host_only,map_str(${map('direct')})`,
    '# Plain: with a rule below that looks at something new, this must look at it, too.',
    `http-request allow if { var(txn.direct) -m found } { method GET HEAD } { url -m reg ^/[^\\#]*$ } { req.body_size 0 } !{ req.hdr_names -m reg ${ruledHeaders} }`,
    '# HAProxy refuses most tricks by itself; these stay although it is patched (CVE-2023-25725, CVE-2023-40225, CVE-2023-45539).',
    'http-request deny deny_status 405 if { method CONNECT TRACE }',
    'http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 }',
    'http-request deny deny_status 400 if { url -m sub \\# }',
    'http-request deny deny_status 400 if { req.hdr(content-length) -m len 0 }',
    'http-request deny deny_status 400 if { fc_http_major 1 } !{ req.body_size 0 } !{ req.hdr(content-length) -m found } !{ req.hdr(transfer-encoding) -m found }',
    'http-request deny deny_status 400 if { req.hdr(transfer-encoding) -m found } !{ req.fhdr(transfer-encoding) -m str -i chunked }',
    'http-request deny deny_status 400 if { req.ver 1.0 } { req.hdr(transfer-encoding) -m found }',
    // Each of these is matched with the name of each header.
    ...(trusted
      ? [
          `http-request del-header ${forgedHeaders} -m reg`,
          `http-request del-header ${forwardingHeaders} -m reg unless trusted`,
        ]
      : [`http-request del-header ${eitherHeaders} -m reg`]),
    'http-request del-header upgrade if { req.hdr(upgrade) -m sub -i h2c }',
    '# A proxy inside an app would drop the headers named here, those below too.',
    'http-request del-header connection if { req.hdr(connection) -m beg -i x- x_ forwarded host cookie authorization }',
    '# Not every app knows a whole address in the request line.',
    'http-request set-uri %[pathq] if { url -m beg -i http }',
    `${tooLarge(s)} { var(txn.direct) -m found }`,
    'http-request allow if { var(txn.direct) -m found }',
    `http-request set-var(txn.entry) req.fhdr(host),host_only,map_str(${map('hosts')})`,
    '# The address of a release that does not run leads where all such of its environment lead, by the same rules as those that run.',
    `http-request set-var(txn.entry) req.fhdr(host),host_only,regsub(^v[0-9]+--,v0--),map_str(${map('hosts')}) if !{ var(txn.entry) -m found } { req.fhdr(host) -m reg -i ^v[1-9][0-9]*-- }`,
    'http-request set-var(txn.key) var(txn.entry),field(1,/)',
    `http-request set-var(txn.to) var(txn.key),map_str(${map('routes')})`,
    'use_backend app-listed if { var(txn.direct) -m end @i }',
    'use_backend app-direct if { var(txn.direct) -m found }',
    'use_backend releases-careful if { var(txn.key) -m beg w } { var(txn.entry) -m sub /p /a /l /m }',
    'use_backend releases if { var(txn.key) -m beg w }',
    'use_backend app-careful if { var(txn.entry) -m sub /p /a /l /m }',
    'use_backend app-one if { var(txn.to) -m end /1 }',
    `use_backend slipway if { req.fhdr(host),host_only -m str ${s.controlHost} ${s.controlHost}. }`,
    'use_backend page-unknown-host unless { var(txn.key) -m found }',
    ...states.map((state) => `use_backend page-${state} if { var(txn.to) -m str ${state} }`),
    'use_backend app-many if { var(txn.to) -m found }',
    'default_backend page-nothing-live',
  ])
}
