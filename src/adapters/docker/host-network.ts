import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import { parseResolvers, type HostNetwork } from './firewall-rules.ts'
import { parseRoutes } from './network-plan.ts'

/** Looks at the host: its name resolvers, its bridges, its ways out. */
export async function readHostNetwork(bridgePrefix: string): Promise<HostNetwork> {
  const [resolvers, bridges, routes] = await Promise.all([
    readResolvers(),
    readBridges(),
    readFile('/proc/net/route', 'utf8').then(parseRoutes),
  ])
  const uplinks = new Set(routes.filter((route) => route.range === '0.0.0.0/0').map((route) => route.device))
  return {
    resolvers,
    foreignBridges: bridges.filter((name) => !name.startsWith(bridgePrefix) && !uplinks.has(name)),
    uplinkBridges: bridges.filter((name) => uplinks.has(name)),
  }
}

/** The same servers that the engine gives to containers: with systemd-resolved those behind its own address on loopback. */
async function readResolvers(): Promise<string[]> {
  const own = parseResolvers(await readOr('/etc/resolv.conf'))
  return own.length > 0
    ? [...new Set(own)]
    : [...new Set(parseResolvers(await readOr('/run/systemd/resolve/resolv.conf')))]
}

async function readBridges(): Promise<string[]> {
  const devices = await readdir('/sys/class/net')
  const found = await Promise.all(
    devices.map((name) =>
      stat(`/sys/class/net/${name}/bridge`).then(
        () => name,
        () => null,
      ),
    ),
  )
  return found.filter((name) => name !== null).sort()
}

function readOr(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}

/**
 * Kernel settings without which the rules would be passed by: frames between two ports of a bridge go through iptables, the
 * bridge has no IPv6 (its link-local address would reach services on `::`), and foreign source addresses are dropped.
 */
export async function secureBridges(bridges: readonly string[]): Promise<void> {
  await Promise.all(bridges.map(assertHere))
  await setKernel('/proc/sys/net/bridge/bridge-nf-call-iptables', '1')
  for (const bridge of bridges) {
    await setKernel(`/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`, '1', { optional: true })
    await setKernel(`/proc/sys/net/ipv4/conf/${bridge}/rp_filter`, '1')
  }
}

async function assertHere(bridge: string): Promise<void> {
  try {
    await stat(`/sys/class/net/${bridge}/bridge`)
  } catch (cause) {
    throw new SlipwayError('unavailable', `The engine’s bridge ${bridge} is not on this machine.`, {
      hint: 'Slipway must run in the same network namespace as the Docker engine (not rootless, not Docker Desktop).',
      cause,
    })
  }
}

async function setKernel(path: string, value: string, options: { optional?: boolean } = {}): Promise<void> {
  try {
    if ((await readFile(path, 'utf8')).trim() !== value) await writeFile(path, value)
  } catch (cause) {
    // A kernel without IPv6 has no such file.
    if (options.optional === true && (cause as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new SlipwayError('unavailable', `The kernel setting ${path} cannot be made ${value}.`, {
      hint: 'Run Slipway as root; in a container it needs the host’s network and NET_ADMIN.',
      cause,
    })
  }
}
