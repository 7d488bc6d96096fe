import { parseHost } from './names.ts'

/** The host name of an environment: `test--shop.example.com`; the label of the live one is just the app's name. */
export function environmentHost(label: string, domain: string): string {
  return parseHost(`${label}.${domain}`)
}

/** The host name of one release: `v12--test--shop.example.com`. */
export function releaseHost(releaseNumber: number, label: string, domain: string): string {
  return parseHost(`v${releaseNumber}--${label}.${domain}`)
}

/** Which release a host name is the address of; null for any other host, and for a number that no release can have. */
export function readReleaseHost(host: string, domain: string): { label: string; number: number } | null {
  const [, number = '', label = '', rest = ''] = /^v([1-9][0-9]{0,8})--([a-z0-9-]{1,60})\.(.+)$/.exec(host) ?? []
  return rest === domain ? { label, number: Number(number) } : null
}

/** What to open in a browser; the port is left out where it is the usual one. */
export function siteUrl(host: string, port: number): string {
  return port === 80 ? `http://${host}` : `http://${host}:${port}`
}
