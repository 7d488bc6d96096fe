import type { Exposures } from './exposures.ts'
import type { Route } from './instances.ts'
import { type Member, routesOf } from './routes-of.ts'
import type { Tools } from './steps/step.ts'

/** Makes the proxy hold where one route leads (its hosts and rules stay), in an order in which it never leads to a place that is empty. */
export async function leadTo(
  { router, addresses: hosts }: Pick<Tools, 'router' | 'addresses'>,
  route: Route,
  instances: readonly Member[],
  exposures: Exposures,
): Promise<void> {
  const wanted = routesOf({ routes: [route], instances, exposures, hosts })
  for (const [set, targets] of wanted.sets) await router.defineSet(set, targets)
  for (const [key, to] of wanted.keys) await router.swap(key, to)
}
