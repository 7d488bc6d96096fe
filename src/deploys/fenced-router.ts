import type { ServerPlace } from '../postgres/index.ts'
import type { Router } from '../routing/index.ts'

/**
 * Changes nothing in the proxy for a server that has lost its place in the database: another one leads the traffic then. What
 * is refused has touched no map file either, so a proxy that comes back while the database is away is brought to what they say.
 */
export function makeFencedRouter(router: Router, place: ServerPlace): Router {
  const fenced =
    <Args extends unknown[]>(change: (...args: Args) => Promise<void>) =>
    async (...args: Args): Promise<void> => {
      await place.term()()
      await change(...args)
    }
  return {
    ...router,
    openConnections: (target) => router.openConnections(target),
    readUse: (target) => router.readUse(target),
    mayLeadAsBefore: () => router.mayLeadAsBefore(),
    async replaceAll(routes, mayGoOn = place.term()) {
      await mayGoOn()
      await router.replaceAll(routes, mayGoOn)
    },
    addHost: fenced((...args) => router.addHost(...args)),
    removeHost: fenced((...args) => router.removeHost(...args)),
    defineSet: fenced((...args) => router.defineSet(...args)),
    swap: fenced((...args) => router.swap(...args)),
    removeSet: fenced((...args) => router.removeSet(...args)),
    removeKey: fenced((...args) => router.removeKey(...args)),
    setRules: fenced((...args) => router.setRules(...args)),
    setTimeout: fenced((...args) => router.setTimeout(...args)),
  }
}
