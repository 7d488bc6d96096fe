import {
  type Addresses,
  environmentKey,
  releaseKey,
  releaseSet,
  type Routes,
  type RouteTarget,
  type Target,
} from '../routing/index.ts'
import { type Exposures, hostEntriesOf, rulesOf } from './exposures.ts'
import { type InstanceRecord, isWeb, type Route, type StartedFor } from './instances.ts'

/** What of an instance decides whether and where it takes requests. */
export type Member = Pick<
  InstanceRecord,
  | 'environmentId'
  | 'releaseId'
  | 'releaseNumber'
  | 'startedFor'
  | 'deployId'
  | 'process'
  | 'position'
  | 'address'
  | 'port'
  | 'state'
  | 'downSince'
  | 'warmLeftMs'
>

export interface Routed {
  readonly routes: readonly Route[]
  readonly instances: readonly Member[]
  readonly exposures: Exposures
  readonly hosts: Pick<Addresses, 'environmentHost' | 'releaseHost' | 'otherReleasesHost'>
}

/**
 * What the proxy must hold, as the database has it. Everybody who leads requests asks here.
 *
 * A set has the web instances of one deploy, and always as many places as there are of them. The place of one that is down is
 * taken by one that is up, and the route says how many of the first places count: so a set shrinks and grows one place at a
 * time and no place is ever empty, or leads to nobody, in between. Of a release that is down as a whole the set stays, and its
 * route says `failed`. An environment that is stopped says so, and its release has no address. Releases that are awake or warm have their own.
 */
export function routesOf({ routes, instances, exposures, hosts }: Routed): Routes {
  const wanted = {
    hosts: new Map<string, string>(),
    keys: new Map<string, RouteTarget>(),
    sets: new Map<string, readonly Target[]>(),
    rules: rulesOf(exposures),
  }
  const up = new Map<number, number>()
  for (const [deployId, members] of Map.groupBy(instances.filter(isInSet), (member) => member.deployId)) {
    const all = members.toSorted((a, b) => a.position - b.position)
    const takers = all.filter(({ state, downSince }) => state !== 'serving' || downSince === null)
    const places = takers.length === 0 ? all : all.map((_, place) => takers[place % takers.length] as Member)
    wanted.sets.set(releaseSet(deployId), places.map(targetOf))
    up.set(deployId, takers.length)
  }
  const awake = Map.groupBy(instances.filter(isAwake), (member) => member.environmentId)
  for (const route of routes) {
    const { environmentId, label, releaseId, releaseNumber, deployId, isStopped = false } = route
    const size = up.get(deployId) ?? 0
    const serving: RouteTarget = size === 0 ? { state: 'failed' } : { set: releaseSet(deployId), size }
    const to: RouteTarget = isStopped ? { state: 'stopped' } : serving
    const entries = hostEntriesOf(route, exposures)
    wanted.hosts.set(hosts.environmentHost(label), entries.environment)
    wanted.keys.set(environmentKey(environmentId), to)
    if (entries.releases === null || isStopped) continue
    wanted.hosts.set(hosts.otherReleasesHost(label), entries.releases.others)
    wanted.hosts.set(hosts.releaseHost(label, releaseNumber), entries.releases.running)
    wanted.keys.set(releaseKey(releaseId), to)
    // The instances were started for another release, of the same image and variables: they are that one, too.
    const leadRelease = (release: StartedFor, target: RouteTarget): void => {
      const { releases } = hostEntriesOf({ ...route, releaseId: release.releaseId }, exposures)
      if (releases === null) return
      wanted.hosts.set(hosts.releaseHost(label, release.number), releases.running)
      wanted.keys.set(releaseKey(release.releaseId), target)
    }
    if (route.startedFor != null) leadRelease(route.startedFor, to)
    for (const other of awake.get(environmentId) ?? [])
      for (const release of releasesOf(other)) leadRelease(release, { set: releaseSet(other.deployId), size: 1 })
  }
  return wanted
}

/** Instances that were started for another release, of the same image and variables, are that one, too. */
export function releasesOf(of: Pick<Member, 'releaseId' | 'releaseNumber' | 'startedFor'>): StartedFor[] {
  const { releaseId, releaseNumber: number, startedFor } = of
  return [{ releaseId, number }, ...(startedFor == null ? [] : [startedFor])]
}

const isAwake = ({ state, address, warmLeftMs }: Member): boolean =>
  (state === 'awake' || (state === 'draining' && warmLeftMs > 0)) && address !== null

/** One that drains stays in its set until its last request is over, whatever happened to it. */
function isInSet({ process, state, address }: Member): boolean {
  return isWeb({ process }) && (state === 'serving' || state === 'awake' || state === 'draining') && address !== null
}

function targetOf({ address, port }: Member): Target {
  return { address: address as string, port }
}
