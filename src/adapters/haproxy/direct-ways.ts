import { routeKeyOf } from '../../routing/index.ts'
import { type MapName } from './paths.ts'
import { directEntries } from './entries.ts'
import type { MapFiles } from './map-files.ts'
import type { ProxySocket } from './socket.ts'

/** Brings the short ways of a key's hosts (and of hosts that it no longer has) up to date, after what they are derived from has changed. */
export type RenewDirect = (routeKey: string | undefined, gone?: readonly string[]) => Promise<void>

export function makeDirectWays({
  files,
  socket,
  path,
  inTurn,
}: {
  readonly files: MapFiles
  readonly socket: ProxySocket
  readonly path: (map: MapName) => string
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
}): RenewDirect {
  return async (routeKey, gone = []) => {
    await files.change('direct', (held) => {
      held.clear()
      for (const [host, way] of directEntries(files.entries())) held.set(host, way)
    })
    await inTurn(async () => {
      const { hosts, direct } = files.entries()
      const own = [...hosts].filter(([, entry]) => routeKeyOf(entry) === routeKey).map(([host]) => host)
      // Told to the proxy also when the file had it already: a change that failed half-way is mended by repeating it.
      for (const host of [...own, ...gone]) {
        const way = direct.get(host)
        if (way === undefined) await socket.remove(path('direct'), host)
        else await socket.put(path('direct'), host, way)
      }
    })
  }
}
