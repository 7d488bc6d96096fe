/** Host names and URLs of environments, releases and Slipway itself: design.md, section 3. */
export interface Addresses {
  /** `test--shop.example.org`: what the host map is asked for. */
  environmentHost(label: string): string
  /** `v12--test--shop.example.org` */
  releaseHost(label: string, releaseNumber: number): string
  /** `http://<host>:<port>` as users type it. */
  url(host: string): string
  readonly scheme: 'http'
  readonly controlHost: string
}

export function makeAddresses(settings: { domain: string; controlHost: string; httpPort: number }): Addresses {
  const { domain, controlHost, httpPort } = settings
  return {
    environmentHost: (label) => `${label}.${domain}`,
    releaseHost: (label, releaseNumber) => `v${releaseNumber}--${label}.${domain}`,
    url: (host) => `http://${host}${httpPort === 80 ? '' : `:${httpPort}`}`,
    scheme: 'http',
    controlHost,
  }
}

/** What an environment is called in the proxy's maps. */
export const environmentKey = (environmentId: number): string => `e${environmentId}`
/** What a release's own address is called in the proxy's maps. */
export const releaseKey = (releaseId: number): string => `r${releaseId}`
/** What a release's set of instances is called in the proxy's maps. */
export const setIdOf = (releaseId: number): string => `r${releaseId}`
