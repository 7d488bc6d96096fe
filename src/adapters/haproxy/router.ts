import { SlipwayError } from '../../kernel/errors.ts'
import { parseHost, parseHostEntry, parseRouteKey, parseSetId, routeKeyOf } from '../../routing/index.ts'
import type { Router, Routes, RouteTarget } from '../../routing/index.ts'
import { makeSetRules } from './set-rules.ts'
import { type MapName, mapNames, proxyPaths } from './paths.ts'
import { findDamages, findStart } from './damages.ts'
import { makeDirectWays } from './direct-ways.ts'
import * as codec from './entries.ts'
import type { MapFiles } from './map-files.ts'
import { levelMaps, type MayGoOn } from './level-maps.ts'
import type { ProxyProcess } from './process.ts'
import type { ProxySocket } from './socket.ts'

export interface HaproxyRouter extends Router {
  /**
   * Makes the running proxy's maps what the files say: after it came back. Entries that are right are not touched. Nobody is asked
   * whether that may be (`mayGoOn` apart): the files are written by the one process that holds the data folder's lock, for as
   * long as it lives, so they say what it was last allowed to write.
   */
  readonly repair: (mayGoOn?: MayGoOn) => Promise<void>
}

const always: MayGoOn = () => Promise.resolve()

export interface RouterParts {
  readonly dataDir: string
  readonly controlHost: string
  readonly files: MapFiles
  readonly socket: ProxySocket
  /** Of a process from before a reload: it may still serve connections that the running one does not count, and be sent requests. */
  readonly proxy: Pick<ProxyProcess, 'hasPredecessor' | 'predecessorLeads'>
}

export function makeHaproxyRouter({ dataDir, controlHost, files, socket, proxy }: RouterParts): HaproxyRouter {
  const path = proxyPaths(dataDir).map
  const inTurn = makeTurns()

  const put = async (map: MapName, entries: readonly (readonly [string, string])[]): Promise<void> => {
    await files.change(map, (held) => entries.forEach(([key, value]) => held.set(key, value)))
    await inTurn(async () => {
      for (const [key, value] of entries) await socket.put(path(map), key, value)
    })
  }
  const remove = async (map: MapName, keys: readonly string[]): Promise<void> => {
    if (keys.length === 0) return
    await files.change(map, (held) => keys.forEach((key) => held.delete(key)))
    await inTurn(async () => {
      for (const key of keys) await socket.remove(path(map), key)
    })
  }

  const renewDirect = makeDirectWays({ files, socket, path, inTurn })
  const readUse = makeUseReader({ socket, proxy })

  const repair = (mayGoOn: MayGoOn = always): Promise<void> =>
    inTurn(() => levelMaps({ socket, path, wanted: () => files.entries(), mayGoOn }))

  return {
    repair,
    async replaceAll(routes, mayGoOn = always) {
      const wanted = codec.encodeRoutes(routes)
      for (const host of wanted.hosts.keys()) checkHost(host, controlHost)
      await mayGoOn()
      await Promise.all(
        mapNames.map((map) =>
          files.change(map, (held) => {
            held.clear()
            for (const [key, value] of wanted[map]) held.set(key, value)
          }),
        ),
      )
      await Promise.all([files.mend(), repair(mayGoOn)])
    },
    damages: () => findDamages({ socket, files, path }),
    startedAt: () => findStart(socket),
    async addHost(host, entry) {
      const routeKey = routeKeyOf(entry)
      const before = routeKeyOf(files.entries().hosts.get(checkHost(host, controlHost)) ?? routeKey)
      await put('hosts', [[host, parseHostEntry(entry)]])
      await renewDirect(routeKey)
      if (before !== routeKey) await renewDirect(before)
    },
    async removeHost(host) {
      const before = files.entries().hosts.get(parseHost(host))
      await remove('hosts', [host])
      await renewDirect(before === undefined ? before : routeKeyOf(before), [host])
    },
    async defineSet(setId, targets) {
      const members = codec.encodeSet(setId, targets)
      await put('targets', members)
      await remove('targets', membersOf(files, setId).slice(members.length))
      const leading = [...files.entries().routes].filter(([, to]) => to === `${setId}/1`)
      for (const [key] of leading) await renewDirect(key)
    },
    async swap(routeKey, to) {
      const entry = [parseRouteKey(routeKey), codec.encodeTarget(to)] as const
      checkMembers(files, routeKey, to)
      await put('routes', [entry])
      await renewDirect(routeKey)
    },
    async removeSet(setId) {
      const members = membersOf(files, parseSetId(setId))
      for (const [key, to] of files.entries().routes) {
        if (to.startsWith(`${setId}/`)) {
          throw new SlipwayError('conflict', `The route ${key} still leads to the release set ${setId}.`)
        }
      }
      await remove('targets', members)
    },
    removeKey: async (routeKey) => {
      await remove('routes', [parseRouteKey(routeKey)])
      await renewDirect(routeKey)
      if (files.entries().timeouts.has(routeKey)) await remove('timeouts', [routeKey])
    },
    async setTimeout(routeKey, ms) {
      const key = parseRouteKey(routeKey)
      if (ms === null) await remove('timeouts', [key])
      else await put('timeouts', [[key, codec.encodeTimeout(ms)]])
    },
    setRules: makeSetRules({ files, put, remove }),
    openConnections: async (target) => (await readUse(target)).open,
    readUse,
    mayLeadAsBefore: () => proxy.predecessorLeads(),
    read: () => readRoutes(socket, path),
  }
}

/** A process from before a reload has requests that the running one does not know. */
function makeUseReader({ socket, proxy }: Pick<RouterParts, 'socket' | 'proxy'>): Router['readUse'] {
  return async (target) => {
    const use = await socket.readUse(codec.encodeAddress(target))
    return (await proxy.hasPredecessor()) ? { ...use, open: null, quietMs: null } : use
  }
}

async function readRoutes(socket: ProxySocket, path: (map: MapName) => string): Promise<Routes> {
  const shown = await Promise.all(mapNames.map(async (map) => [map, new Map(await socket.show(path(map)))] as const))
  return codec.decodeRoutes(Object.fromEntries(shown) as unknown as codec.AllEntries)
}

function checkMembers(files: MapFiles, key: string, to: RouteTarget): void {
  if ('set' in to && !files.entries().targets.has(`${to.set}/${to.size}`)) throw codec.missingMembers(key, to)
}

function checkHost(host: string, controlHost: string): string {
  if (host !== controlHost) return parseHost(host)
  throw new SlipwayError('bad_request', `${host} is the address of Slipway itself.`)
}

/** The members of a set in their order. */
function membersOf(files: MapFiles, setId: string): string[] {
  const { targets } = files.entries()
  const members: string[] = []
  for (let i = 1; targets.has(`${setId}/${i}`); i += 1) members.push(`${setId}/${i}`)
  return members
}

/** Commands reach the proxy one after the other, in the order in which their files were written. */
function makeTurns(): (work: () => Promise<void>) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => undefined)
    return mine
  }
}
