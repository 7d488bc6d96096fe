import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Secret } from '../../kernel/secret.ts'
import type { RequestFeed } from '../../logs/index.ts'
import type { Router } from '../../routing/index.ts'
import { mapNames, proxyPaths } from './paths.ts'
import type { ForegroundProxy } from './keeper.ts'
import { directEntries } from './entries.ts'
import { makeMapFiles } from './map-files.ts'
import { ensurePasswordKey } from './password-key.ts'
import { makeProxyProcess } from './process.ts'
import { makeHaproxyRouter } from './router.ts'
import { makeRequestFeed, type RouterLog } from './request-log.ts'
import { makeProxySocket } from './socket.ts'

export interface Proxy {
  /** Finds the proxy, or starts it; throws one sentence when it cannot. Before anything else of this is used. */
  ensure(): Promise<void>
  /**
   * Brings the proxy back within a second when it was killed and tells in the log when it hangs. `onBack` is told when it
   * answers again; its maps are then what they last were, so there is nothing that must be done.
   */
  watch(signal: AbortSignal, onBack: () => void): void
  /** Ends the proxy. Only for taking an installation away: sites are gone then. */
  readonly stop: () => Promise<void>
  /** For whoever keeps the proxy: what to run in the foreground, in the place of a proxy that runs already. */
  foreground(notifySocket: string | null): Promise<ForegroundProxy>
  /** Before its keeper ends the proxy for good: a process of its own takes the sockets over, and sites go on. */
  readonly detach: () => Promise<void>
  readonly router: Router
  /** What `passwordHash` wants. */
  readonly passwordKey: () => Promise<Secret>
  /** What the proxy says of its requests; null when it says nothing. */
  readonly requests: RequestFeed | null
  /**
   * To whom Slipway's `run/http.sock` (mode 0600) must belong so that the proxy may connect; null: the proxy is the same
   * user.
   */
  readonly owner: { readonly uid: number; readonly gid: number } | null
}

export interface ProxyOptions {
  readonly dataDir: string
  readonly bind: string
  readonly port: number
  readonly controlHost: string
  readonly trustedProxies: readonly string[]
  /** Slipway's own folder, which holds `docker/proxy/`. */
  readonly root: string
  readonly logger: Logger
  readonly binary?: string
  /** Which requests the proxy tells of. */
  readonly routerLog?: RouterLog
  /** Who starts the proxy and brings it back, when that is not us: then it is waited for, and told to reload. */
  readonly keptBy?: string | null
}

export function makeProxy(options: ProxyOptions): Proxy {
  const {
    dataDir,
    bind,
    port,
    controlHost,
    trustedProxies,
    logger,
    binary = '/usr/sbin/haproxy',
    routerLog = 'errors',
  } = options
  const owner = process.getuid?.() === 0 ? findUser(proxyUser) : null
  const settings = {
    dataDir,
    bind,
    port,
    controlHost,
    trustedProxies,
    user: owner === null ? null : proxyUser,
    routerLog,
  }
  const paths = proxyPaths(dataDir)
  const passwordKey = (): Promise<Secret> => ensurePasswordKey(dataDir)
  const socket = makeProxySocket(paths.socket)
  const files = makeMapFiles(dataDir)
  const proxy = makeProxyProcess({
    settings: { ...settings, binary },
    passwordKey,
    pageTemplate: join(options.root, 'docker', 'proxy', 'page.html'),
    queueScript: join(options.root, 'docker', 'proxy', 'queue.lua'),
    socket,
    async mendMaps() {
      const mended = await files.mend()
      if (mended.length > 0) logger.warn('the proxy’s map files were written again', { maps: mended })
    },
    logger,
    keptBy: options.keptBy ?? null,
  })
  const router = makeHaproxyRouter({ dataDir, controlHost, files, socket, proxy })

  const loadMaps = async (): Promise<void> => {
    if (owner === null && process.getuid?.() === 0) {
      throw new SlipwayError('unavailable', `The user ${proxyUser} is missing.`, { hint: 'apt-get install haproxy' })
    }
    const damaged = await files.load()
    // A proxy that has been running all the time knows better than a torn file.
    if (damaged.length > 0 && typeof (await socket.probe()) === 'object') {
      for (const map of mapNames.filter((name) => damaged.includes(name))) {
        if (!(await socket.knows(paths.map(map)))) continue
        const shown = await socket.show(paths.map(map))
        await files.change(map, (held) => shown.forEach(([key, value]) => held.set(key, value)))
      }
      await files.change('direct', (held) => {
        held.clear()
        for (const [host, way] of directEntries(files.entries())) held.set(host, way)
      })
      await files.mend()
    }
  }

  return {
    router,
    passwordKey,
    requests: routerLog === 'off' ? null : makeRequestFeed(paths.socket),
    owner,
    async ensure() {
      await loadMaps()
      await proxy.ensure()
    },
    async foreground(notifySocket) {
      await loadMaps()
      return proxy.foreground(notifySocket)
    },
    watch(signal, onBack) {
      proxy
        .watch(signal, async () => {
          await router.repair()
          onBack()
        })
        .catch((error: unknown) => logger.error('the proxy is not watched any more', { error }))
    },
    stop: proxy.stop,
    detach: proxy.detach,
  }
}

/** The user that Debian's package makes. */
const proxyUser = 'haproxy'

function findUser(name: string): { uid: number; gid: number } | null {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':')
    if (user === name) return { uid: Number(uid), gid: Number(gid) }
  }
  return null
}
