import type { Router, Routes, RouteTarget, Target } from '../../src/routing/index.ts'

export interface FakeRouter extends Router {
  /** How many connections `openConnections` tells for a target; 0 unless set. */
  setOpen(target: Target, open: number | null): void
}

/** The proxy's maps in memory. */
export function makeFakeRouter(): FakeRouter {
  let hosts = new Map<string, string>()
  let keys = new Map<string, RouteTarget>()
  let sets = new Map<string, readonly Target[]>()
  const open = new Map<string, number | null>()
  const nameOf = (target: Target): string => `${target.address}:${target.port}`
  return {
    async replaceAll(routes: Routes) {
      hosts = new Map(routes.hosts)
      keys = new Map(routes.keys)
      sets = new Map(routes.sets)
    },
    addHost: async (host, routeKey) => void hosts.set(host, routeKey),
    removeHost: async (host) => void hosts.delete(host),
    defineSet: async (setId, targets) => void sets.set(setId, targets),
    swap: async (routeKey, to) => void keys.set(routeKey, to),
    removeSet: async (setId) => void sets.delete(setId),
    removeKey: async (routeKey) => void keys.delete(routeKey),
    setTimeout: async () => undefined,
    openConnections: async (target) => open.get(nameOf(target)) ?? 0,
    read: async () => ({ hosts: new Map(hosts), keys: new Map(keys), sets: new Map(sets) }),
    setOpen: (target, count) => void open.set(nameOf(target), count),
  }
}
