import { environmentHost, readReleaseHost, releaseHost, siteUrl } from './hosts.ts'

/** Host names and URLs of this installation: design.md, section 3. */
export interface Addresses {
  /** `test--shop.example.org`: what the host map is asked for. */
  environmentHost(label: string): string
  /** `v12--test--shop.example.org` */
  releaseHost(label: string, releaseNumber: number): string
  /**
   * Stands for all releases of an environment that do not run: the proxy looks a `v12--test--shop…` that it does not know up under
   * `v0--test--shop…`. No release has the number 0, and no environment or app a name like it.
   */
  otherReleasesHost(label: string): string
  /** Of which release a host (in lower case, without port) is the address; null for any other. */
  readReleaseHost(host: string): { readonly label: string; readonly number: number } | null
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
    otherReleasesHost: (label) => releaseHost(0, label, domain),
    readReleaseHost: (host) => readReleaseHost(host, domain),
    url: (host) => siteUrl(host, httpPort),
    hostHeader: (host) => new URL(siteUrl(host, httpPort)).host,
    scheme: 'http',
  }
}
