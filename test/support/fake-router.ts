import { SlipwayError } from '../../src/kernel/errors.ts'
import {
  type Rules,
  parseEnvironmentId,
  parseHost,
  parseHostEntry,
  parseLimits,
  parseMessage,
  parsePasswordHash,
  parseRangePrefix,
  parseRouteKey,
  parseSetId,
  parseTarget,
  type Router,
  type Routes,
  type RouteTarget,
  type Target,
} from '../../src/routing/index.ts'

export interface FakeRouter extends Router {
  /** Every change in its order, as `swap e1 r2/1`. */
  readonly changes: string[]
  /** Makes the next call of this method fail as a proxy does that hangs; whether it took effect is then unknown. */
  failNext(method: keyof Router, options?: { takesEffect: boolean }): void
  setOpenConnections(target: Target, count: number | null): void
  /** How many requests have come to it. */
  setAsked(target: Target, count: number): void
}

/** A Router in memory, held to the same contract as the real one. */
export function makeFakeRouter(): FakeRouter {
  const hosts = new Map<string, string>()
  const keys = new Map<string, RouteTarget>()
  const sets = new Map<string, readonly Target[]>()
  const timeouts = new Map<string, number>()
  const ruled = new Map<number, Rules>()
  const open = new Map<string, number | null>()
  const asked = new Map<string, number>()
  const changes: string[] = []
  const failures = new Map<keyof Router, { takesEffect: boolean }>()

  const change = async (method: keyof Router, what: string, effect: () => void): Promise<void> => {
    const failure = failures.get(method)
    failures.delete(method)
    if (failure === undefined || failure.takesEffect) {
      effect()
      changes.push(`${method} ${what}`.trimEnd())
    }
    if (failure !== undefined) throw new SlipwayError('unavailable', 'The proxy does not answer on its socket.')
  }
  const checkTarget = (to: RouteTarget, known: ReadonlyMap<string, readonly Target[]>): void => {
    if ('set' in to && (known.get(parseSetId(to.set))?.length ?? 0) < to.size) {
      throw new SlipwayError('bad_request', `The set ${to.set} has not ${to.size} members.`)
    }
  }
  const addressOf = (target: Target): string => `${parseTarget(target).address}:${target.port}`

  return {
    changes,
    failNext: (method, options = { takesEffect: false }) => void failures.set(method, options),
    setOpenConnections: (target, count) => void open.set(addressOf(target), count),
    setAsked: (target, count) => void asked.set(addressOf(target), count),
    async replaceAll(routes) {
      routes.hosts.forEach((key, host) => [parseHost(host), parseHostEntry(key)])
      routes.rules?.forEach((rules, id) => checkRules(id, rules))
      routes.sets.forEach((members, setId) => [parseSetId(setId), members.map(parseTarget)])
      routes.keys.forEach((to, key) => [parseRouteKey(key), checkTarget(to, routes.sets)])
      await change('replaceAll', '', () => {
        replace(hosts, routes.hosts)
        replace(keys, routes.keys)
        replace(sets, routes.sets)
        replace(timeouts, routes.timeouts ?? new Map())
        replace(ruled, routes.rules ?? new Map())
      })
    },
    async addHost(host, entry) {
      parseHost(host)
      parseHostEntry(entry)
      await change('addHost', `${host} ${entry}`, () => hosts.set(host, entry))
    },
    async setRules(environmentId, rules) {
      checkRules(environmentId, rules ?? { passwords: [], allowed: [], limits: null })
      await change('setRules', String(environmentId), () => {
        ruled.delete(environmentId)
        if (rules !== null && hasRules(rules)) ruled.set(environmentId, rules)
      })
    },
    async removeHost(host) {
      parseHost(host)
      await change('removeHost', host, () => hosts.delete(host))
    },
    async defineSet(setId, targets) {
      parseSetId(setId)
      if (targets.length === 0) throw new SlipwayError('bad_request', 'A release set has members.')
      const addresses = targets.map(addressOf)
      await change('defineSet', `${setId} ${addresses.join(',')}`, () => sets.set(setId, [...targets]))
    },
    async swap(routeKey, to) {
      parseRouteKey(routeKey)
      checkTarget(to, sets)
      const value = 'set' in to ? `${to.set}/${to.size}` : to.state
      await change('swap', `${routeKey} ${value}`, () => keys.set(routeKey, to))
    },
    async removeSet(setId) {
      parseSetId(setId)
      const user = [...keys].find(([, to]) => 'set' in to && to.set === setId)
      if (user !== undefined) throw new SlipwayError('conflict', `The route ${user[0]} still leads to ${setId}.`)
      await change('removeSet', setId, () => sets.delete(setId))
    },
    async removeKey(routeKey) {
      parseRouteKey(routeKey)
      await change('removeKey', routeKey, () => [keys.delete(routeKey), timeouts.delete(routeKey)])
    },
    async setTimeout(routeKey, ms) {
      parseRouteKey(routeKey)
      if (ms !== null && !(ms >= 1 && ms <= 86_400_000)) throw new SlipwayError('bad_request', 'An odd time-out.')
      await change('setTimeout', `${routeKey} ${ms}`, () =>
        ms === null ? timeouts.delete(routeKey) : timeouts.set(routeKey, ms),
      )
    },
    async openConnections(target) {
      const count = open.get(addressOf(target))
      return count === undefined ? 0 : count
    },
    async readUse(target) {
      const count = open.get(addressOf(target))
      return { open: count === undefined ? 0 : count, quietMs: null, asked: asked.get(addressOf(target)) ?? 0 }
    },
    mayLeadAsBefore: async () => false,
    damages: async () => [],
    startedAt: async () => null,
    read: async (): Promise<Routes> => ({
      hosts: new Map(hosts),
      keys: new Map(keys),
      sets: new Map(sets),
      timeouts: new Map(timeouts),
      rules: new Map(ruled),
    }),
  }
}

function replace<K, V>(map: Map<K, V>, by: ReadonlyMap<K, V>): void {
  map.clear()
  for (const [key, value] of by) map.set(key, value)
}

function checkRules(environmentId: number, { passwords, allowed, limits, maintenance }: Rules): void {
  parseEnvironmentId(environmentId)
  passwords.forEach(parsePasswordHash)
  allowed.forEach(parseRangePrefix)
  if (maintenance !== undefined) parseMessage(maintenance.message)
  maintenance?.allowed.forEach(parseRangePrefix)
  if (limits !== null) parseLimits(limits)
}

const hasRules = ({ passwords, allowed, limits, maintenance }: Rules): boolean =>
  passwords.length + allowed.length > 0 || limits !== null || maintenance !== undefined
