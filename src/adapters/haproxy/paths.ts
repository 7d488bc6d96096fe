import { join } from 'node:path'
import type { PageName } from './pages.ts'

export const mapNames = [
  ...(['hosts', 'routes', 'targets', 'timeouts', 'passwords', 'allowed', 'limits', 'maintenance', 'direct'] as const),
]
export type MapName = (typeof mapNames)[number]

/** Where everything of the proxy lies below the data folder. */
export function proxyPaths(dataDir: string) {
  const proxy = join(dataDir, 'proxy')
  const run = join(dataDir, 'run')
  return {
    proxy,
    run,
    config: join(proxy, 'haproxy.cfg'),
    maps: join(proxy, 'maps'),
    pages: join(proxy, 'pages'),
    map: (name: MapName) => join(proxy, 'maps', `${name}.map`),
    page: (name: PageName) => join(proxy, 'pages', `${name}.http`),
    /** The page alone, without the head of an answer. */
    body: (name: PageName) => join(proxy, 'pages', `${name}.html`),
    queue: join(proxy, 'queue.lua'),
    passwordKey: join(proxy, 'password-key'),
    socket: join(run, 'proxy.sock'),
    pidFile: join(run, 'proxy.pid'),
    /** Of the process above a proxy that somebody else keeps: it reloads. */
    masterSocket: join(run, 'proxy-master.sock'),
    httpSocket: join(run, 'http.sock'),
    /** Where Slipway answers for releases that do not run. */
    releasesSocket: join(run, 'releases.sock'),
  }
}
