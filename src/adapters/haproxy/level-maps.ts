import type { MapName } from './paths.ts'
import { type AllEntries, difference } from './entries.ts'
import type { ProxySocket } from './socket.ts'

/** More differences than this in one map, and it is replaced as a whole: `set map` searches the map from its beginning. */
const manyDifferences = 100
const order: readonly MapName[] = [
  ...(['targets', 'timeouts', 'passwords', 'allowed', 'limits', 'maintenance', 'routes', 'hosts', 'direct'] as const),
]

/** Awaited before each command; when it throws, no more are given. */
export type MayGoOn = () => Promise<void>

export interface Levelling {
  readonly socket: ProxySocket
  readonly path: (map: MapName) => string
  /** Asked again for each map, so that what has changed meanwhile counts. */
  readonly wanted: () => AllEntries
  readonly mayGoOn: MayGoOn
}

/**
 * Makes the running proxy's maps what they should be. Additions go from the addresses up to the hosts and removals the other
 * way, so that no entry ever names one that is not there; entries that are right are not touched.
 */
export async function levelMaps(levelling: Levelling): Promise<void> {
  for (const map of order) await level(levelling, map, 'additions')
  for (const map of order.toReversed()) await level(levelling, map, 'exact')
}

async function level(
  { socket, path, wanted, mayGoOn }: Levelling,
  map: MapName,
  how: 'additions' | 'exact',
): Promise<void> {
  const shown = await socket.show(path(map))
  const now = new Map(shown)
  const target = how === 'exact' ? wanted()[map] : new Map([...now, ...wanted()[map]])
  const { put, remove } = difference(now, target)
  // A key that is there twice (only somebody else could have done that) is mended by replacing the map.
  if (shown.length > now.size || put.length + remove.length > manyDifferences) {
    await socket.replace(path(map), target, mayGoOn)
    return
  }
  for (const [key, value] of put) {
    await mayGoOn()
    await socket.put(path(map), key, value)
  }
  for (const key of remove) {
    await mayGoOn()
    await socket.remove(path(map), key)
  }
}
