import { isIPv4 } from 'node:net'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import type { Target } from './router.ts'

/*
 * What may reach the proxy's maps and socket. Each function returns the same value or throws `bad_request`; on the socket a
 * blank, a semicolon or a newline would begin another command.
 */

const hostName = /^(?=.{1,200}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/

/** A host name in lower case, without port. */
export function parseHost(value: string): string {
  if (hostName.test(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is not a host name.`, {
    hint: 'Use labels of a–z, 0–9 and hyphens, at most 63 characters each, with dots between them.',
  })
}

/** The key of the route of an environment (`e7`), of a release's own address (`r12`), or of addresses of releases that run not (`w7`). */
export function parseRouteKey(value: string): string {
  if (/^[erw][1-9][0-9]{0,18}$/.test(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is not the key of a route.`)
}

/** Sets were named for releases before 0.2.0: a proxy may still hold such a one (`r12`). */
export function parseSetId(value: string): string {
  if (/^[dr][1-9][0-9]{0,18}$/.test(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is not the id of a release set.`)
}

export function parseTarget(target: Target): Target {
  const { address, port } = target
  if (isIPv4(address) && address !== '0.0.0.0' && Number.isInteger(port) && port >= 1 && port <= 65535) return target
  throw new SlipwayError('bad_request', `${quote(`${address}:${port}`)} is not an address with a port.`)
}

/** The route key of an environment: what its host names lead to. */
export function environmentKey(environmentId: string | number): string {
  return parseRouteKey(`e${environmentId}`)
}

/** The route key of a release's own address, which never leads anywhere else. */
export function releaseKey(releaseId: string | number): string {
  return parseRouteKey(`r${releaseId}`)
}

/** What the addresses of all releases of an environment lead to that do not run: Slipway itself. It needs no route. */
export function wakeKey(environmentId: string | number): string {
  return parseRouteKey(`w${environmentId}`)
}

/** The id of the set of a release's instances: a release that is started again has another beside it, so a deploy names it. */
export function releaseSet(deployId: string | number): string {
  return parseSetId(`d${deployId}`)
}
