import { SlipwayError } from '../../kernel/errors.ts'
import { parseHost, parseHostEntry, parseRouteKey, parseSetId, parseTarget, routeKeyOf } from '../../routing/index.ts'
import type { Routes, RouteTarget, Target } from '../../routing/index.ts'
import { decodeRules, encodeAll } from './rule-entries.ts'
import type { MapName } from './paths.ts'

/*
 * Routes as lines of the maps, and back. Members of a set count from 1, so that the route of a set of one (`r12/1`) is
 * also the name of its only member.
 */

export type Entries = ReadonlyMap<string, string>
export type AllEntries = Readonly<Record<MapName, Entries>>

const states = ['failed', 'stopped', 'asleep'] as const
const largestSet = 999

/** Throws `bad_request` for anything that may not reach the proxy, and for a route to members that are not there. */
export function encodeRoutes(routes: Routes): AllEntries {
  const targets = new Map([...routes.sets].flatMap(([setId, members]) => encodeSet(setId, members)))
  const hosts = new Map([...routes.hosts].map(([host, key]) => [parseHost(host), parseHostEntry(key)]))
  const timeouts = new Map([...(routes.timeouts ?? [])].map(([key, ms]) => [parseRouteKey(key), encodeTimeout(ms)]))
  const keys = new Map([...routes.keys].map(([key, to]) => [parseRouteKey(key), encodeTarget(to)]))
  for (const [key, to] of routes.keys) {
    if ('set' in to && !targets.has(`${to.set}/${to.size}`)) throw missingMembers(key, to)
  }
  const entries = { hosts, routes: keys, targets, timeouts }
  return { ...entries, ...encodeAll(routes.rules ?? new Map()), direct: directEntries(entries) }
}

/**
 * The short way, derived from the other maps: host → `<ip:port>@<route key>`, for a host that is the only one of a key that leads to a set
 * of one. With more hosts than one a swap would be more than one command. `@i` at the end: search engines may list it. A host with rules
 * of its own has no short way, so that all others need not look for any; nor has a release's own address, whose answers name the release.
 */
export function directEntries({
  hosts,
  routes,
  targets,
}: Pick<AllEntries, 'hosts' | 'routes' | 'targets'>): Map<string, string> {
  const hostsOf = new Map<string, number>()
  for (const entry of hosts.values()) hostsOf.set(routeKeyOf(entry), (hostsOf.get(routeKeyOf(entry)) ?? 0) + 1)
  const direct = new Map<string, string>()
  for (const [host, entry] of hosts) {
    const [key = '', flags = ''] = entry.split('/')
    const to = routes.get(key)
    const address = to?.endsWith('/1') === true ? targets.get(to) : undefined
    if (address === undefined || hostsOf.get(key) !== 1 || !['', 'i'].includes(flags) || key.startsWith('r')) continue
    direct.set(host, flags === 'i' ? `${address}@${key}@i` : `${address}@${key}`)
  }
  return direct
}

export function missingMembers(key: string, to: { set: string; size: number }): SlipwayError {
  return new SlipwayError(
    'bad_request',
    `The route ${key} cannot lead to ${to.size} members of ${to.set}: not defined.`,
  )
}

export function encodeSet(setId: string, members: readonly Target[]): [string, string][] {
  if (members.length < 1 || members.length > largestSet) {
    throw new SlipwayError('bad_request', `A release set has 1 to ${largestSet} members, not ${members.length}.`)
  }
  return members.map((member, i) => [`${parseSetId(setId)}/${i + 1}`, encodeAddress(member)])
}

export function encodeAddress(target: Target): string {
  const { address, port } = parseTarget(target)
  return `${address}:${port}`
}

export function encodeTarget(to: RouteTarget): string {
  if ('state' in to) {
    if (states.includes(to.state)) return to.state
  } else if (Number.isInteger(to.size) && to.size >= 1 && to.size <= largestSet) {
    return `${parseSetId(to.set)}/${to.size}`
  }
  throw new SlipwayError('bad_request', 'A route leads to a release set of 1 to 999 members or to a state.')
}

export function encodeTimeout(ms: number): string {
  if (Number.isInteger(ms) && ms >= 1 && ms <= 24 * 60 * 60 * 1000) return String(ms)
  throw new SlipwayError('bad_request', `A time-out is 1 ms to 24 h, not ${ms} ms.`)
}

/** What is not of our making is left out; `replaceAll` removes it. */
export function decodeRoutes(entries: AllEntries): Routes {
  const sets = new Map<string, Target[]>()
  for (const [member, value] of entries.targets) {
    const [setId = '', position] = member.split('/')
    const [address = '', port] = value.split(':')
    const members = sets.get(setId) ?? []
    members[Number(position) - 1] = { address, port: Number(port) }
    sets.set(setId, members)
  }
  return {
    hosts: new Map(entries.hosts),
    keys: new Map([...entries.routes].map(([key, value]) => [key, decodeTarget(value)])),
    sets,
    timeouts: new Map([...entries.timeouts].map(([key, ms]) => [key, Number(ms)])),
    rules: decodeRules(entries),
  }
}

function decodeTarget(value: string): RouteTarget {
  const state = states.find((known) => known === value)
  if (state !== undefined) return { state }
  const [set = '', size] = value.split('/')
  return { set, size: Number(size) }
}

export interface Difference {
  readonly put: readonly (readonly [string, string])[]
  readonly remove: readonly string[]
}

/** What makes `now` equal to `wanted`; entries that are right are in neither list. */
export function difference(now: Entries, wanted: Entries): Difference {
  return {
    put: [...wanted].filter(([key, value]) => now.get(key) !== value),
    remove: [...now.keys()].filter((key) => !wanted.has(key)),
  }
}
