import { environmentHost, releaseHost, siteUrl } from './hosts.ts'

/** Host names and URLs of this installation: design.md, section 3. */
export interface Addresses {
  /** `test--shop.example.org`: what the host map is asked for. */
  environmentHost(label: string): string
  /** `v12--test--shop.example.org` */
  releaseHost(label: string, releaseNumber: number): string
  /** What to open in a browser. */
  url(host: string): string
  /** The Host header that a client sends for it. */
  hostHeader(host: string): string
  readonly scheme: 'http'
}

export function makeAddresses({ domain, httpPort }: { domain: string; httpPort: number }): Addresses {
  return {
    environmentHost: (label) => environmentHost(label, domain),
    releaseHost: (label, releaseNumber) => releaseHost(releaseNumber, label, domain),
    url: (host) => siteUrl(host, httpPort),
    hostHeader: (host) => new URL(siteUrl(host, httpPort)).host,
    scheme: 'http',
  }
}
