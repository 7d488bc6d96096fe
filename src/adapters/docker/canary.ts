import { createServer } from 'node:net'
import { SlipwayError } from '../../kernel/errors.ts'
import type { BridgePlan } from './network-plan.ts'
import { runTool } from './run-tool.ts'

/*
 * A proof that the firewall holds that needs no image: a network namespace of our own, joined to the bridge like a
 * container, tries to reach the host. Refused by a rule is EHOSTUNREACH; a connection, or ECONNREFUSED by the host itself,
 * is a hole.
 */

/** Reaches for each "address port" of its arguments and prints those that answered. Run by node -e, in the namespace. */
const probeScript = `
const net = require('node:net')
for (const target of process.argv.slice(1)) {
  const [host, port] = target.split(' ')
  const socket = net.connect({ host, port: Number(port), timeout: 1000 })
  const answered = () => { console.log(target); socket.destroy() }
  socket.on('connect', answered)
  socket.on('timeout', () => socket.destroy())
  socket.on('error', (error) => { if (error.code === 'ECONNREFUSED') answered() })
}
`

const metadataAddress = '169.254.169.254'

/** Who asks while it is tried hears of the same: the names in the network are there once. */
export function makeCanary(bridges: readonly BridgePlan[]): () => Promise<void> {
  let running: Promise<void> | null = null
  const probe = async (): Promise<void> => {
    const reached = (await Promise.all(bridges.map(probeFrom))).flat()
    if (reached.length === 0) return
    throw new SlipwayError('unavailable', `The firewall does not hold: an app could reach ${reached.join(' and ')}.`, {
      hint: 'Another firewall lets it through before Slipway’s rules. See: iptables -S INPUT, iptables -S DOCKER-USER, nft list ruleset',
    })
  }
  return () => (running ??= probe().finally(() => (running = null)))
}

/** What was reached from the bridge that must not be. */
async function probeFrom(bridge: BridgePlan): Promise<string[]> {
  const host = await listenOn(bridge.gateway)
  const space = `${bridge.bridge}c`
  try {
    await openSpace(space, bridge)
    const targets = [`${bridge.gateway} ${host.port}`, `${metadataAddress} 80`]
    const node = ['--net=/run/netns/' + space, process.execPath, '-e', probeScript, ...targets]
    const answered = await runTool('nsenter', node)
    return answered
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(' ', ':'))
  } finally {
    await closeSpace(space)
    host.close()
  }
}

async function openSpace(space: string, bridge: BridgePlan): Promise<void> {
  const bits = bridge.subnet.split('/')[1] ?? '24'
  // What an earlier probe left when its process was killed.
  await closeSpace(space)
  await runTool('ip', ['netns', 'add', space])
  await batch(
    [],
    [`link add ${space}0 type veth peer name eth0 netns ${space}`, `link set ${space}0 master ${bridge.bridge} up`],
  )
  await batch(
    ['-n', space],
    [`addr add ${bridge.canary}/${bits} dev eth0`, 'link set eth0 up', `route add default via ${bridge.gateway}`],
  )
}

/** The devices first: the kernel takes a namespace apart later, and until then their names are taken. */
async function closeSpace(space: string): Promise<void> {
  await runTool('ip', ['link', 'del', `${space}0`]).catch(() => {})
  await runTool('ip', ['netns', 'del', space]).catch(() => {})
}

function batch(args: readonly string[], commands: readonly string[]): Promise<string> {
  return runTool('ip', [...args, '-batch', '-'], `${commands.join('\n')}\n`)
}

async function listenOn(address: string): Promise<{ port: number; close(): void }> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, resolve)
  })
  const bound = server.address()
  return { port: bound !== null && typeof bound === 'object' ? bound.port : 0, close: () => void server.close() }
}
