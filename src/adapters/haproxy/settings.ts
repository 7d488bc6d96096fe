import { isIPv4 } from 'node:net'
import { SlipwayError } from '../../kernel/errors.ts'
import { quote } from '../../kernel/names.ts'
import type { Secret } from '../../kernel/secret.ts'
import type { RouterLog } from './request-log.ts'

export interface ProxySettings {
  readonly dataDir: string
  readonly bind: string
  readonly port: number
  /** Host name of Slipway itself. */
  readonly controlHost: string
  /** CIDRs of proxies in front of this one, whose X-Forwarded-* headers are believed. */
  readonly trustedProxies: readonly string[]
  /** What passwords are hashed with: 32 bytes as base64. */
  readonly passwordKey: Secret
  /** The user that HAProxy becomes after it has bound its port; null when it is not started as root. */
  readonly user: string | null
  /** Which requests are told. */
  readonly routerLog?: RouterLog
}

/** HAProxy's own file may hold no quotes, blanks or newlines from outside, so everything that goes in has a strict shape. */
export function checkSettings(s: ProxySettings): void {
  const wrong = (what: string, hint: string): never => {
    throw new SlipwayError('bad_request', what, { hint })
  }
  if (!/^\/[A-Za-z0-9._/@+-]{0,78}$/.test(s.dataDir)) {
    wrong(
      `The data folder ${quote(s.dataDir)} cannot be used by the proxy.`,
      'Set SLIPWAY_DATA to an absolute path of at most 79 letters, digits and . _ - @ + / (sockets have short names).',
    )
  }
  if (!isIPv4(s.bind)) wrong(`${quote(s.bind)} is not an IPv4 address.`, 'Correct SLIPWAY_BIND.')
  if (!Number.isInteger(s.port) || s.port < 1 || s.port > 65535) {
    wrong(`${s.port} is not a port.`, 'Correct SLIPWAY_HTTP_PORT.')
  }
  if (!/^[a-z0-9](?:[a-z0-9.-]{0,198}[a-z0-9])?$/.test(s.controlHost)) {
    wrong(`${quote(s.controlHost)} is not a host name.`, 'Correct SLIPWAY_CONTROL_HOST.')
  }
  for (const range of s.trustedProxies) {
    const [address = '', bits = ''] = range.split('/')
    if (!isIPv4(address) || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(bits) || range.split('/').length !== 2) {
      wrong(`${quote(range)} is not an IPv4 range.`, 'Correct SLIPWAY_TRUSTED_PROXIES.')
    }
  }
  if (!/^[A-Za-z0-9+/]{43}=$/.test(s.passwordKey.reveal())) wrong('The key of passwords is odd.', '')
  if (s.user !== null && !/^[a-z_][a-z0-9_-]{0,31}$/.test(s.user)) wrong('The user of the proxy is odd.', '')
}
