import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { firewallFile } from '../../src/adapters/docker/firewall-file.ts'
import { parseListeners } from '../../src/adapters/docker/listeners.ts'
import { parseResolvers } from '../../src/adapters/docker/firewall-rules.ts'
import { makeDockerRuntime } from '../../src/adapters/docker/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeImage, makeTestRuntime, removeImage, type TestRuntime } from '../support/docker-runtime.ts'
import { openWorld, type World } from '../support/world.ts'

const run = promisify(execFile)
const live = new AbortController().signal

interface Target {
  readonly address: string
  readonly port: number
}

/** From where each test looks. */
type From = (targets: readonly Target[]) => Promise<string[]>

describe('what can be reached from Slipway’s bridges', () => {
  let test: TestRuntime
  let world: World
  let denied: World
  let proxy: Server
  let service: Server
  let hosts: string[]
  let neighbour: Target
  const foreign: { id: string; network?: string }[] = []
  const places = new Map<string, From>()
  let image: string

  beforeAll(async () => {
    ;[world, denied, proxy, service] = await Promise.all([openWorld(), openWorld(), listen(), listen()])
    test = await makeTestRuntime({
      bind: '0.0.0.0',
      publicPorts: [portOf(proxy)],
      denyNetworks: [denied.range],
    })
    image = await makeImage(test, 'idle', ['/bin/sh', '-c', 'exec httpd -f -p 8000 -h /tmp'])
    const { runtime, docker } = test
    const instance = await runtime.start(test.spec({ image }), live)
    const other = await runtime.start(test.spec({ image }), live)
    neighbour = { address: other.address ?? '', port: 8000 }
    places.set('an instance', from(test, instance.containerId))
    // A build's steps run with the engine's default capabilities.
    const build = await docker.createContainer({
      Image: image,
      Labels: { 'slipway.installation': test.site.installation },
      HostConfig: { NetworkMode: runtime.networks.builds.name },
    })
    await build.start()
    places.set('a build', from(test, build.id))
    const gateways = [runtime.networks.instances.gateway, runtime.networks.builds.gateway]
    hosts = [...gateways, ...addressesOfHost()]
  })

  afterAll(async () => {
    for (const { id } of foreign) await test.docker.getContainer(id).remove({ force: true })
    for (const { network } of foreign) {
      if (network !== undefined) await test.docker.getNetwork(network).remove()
    }
    await test.dispose()
    await removeImage(test, image)
    await Promise.all([world.close(), denied.close()])
    proxy.close()
    service.close()
  })

  describe.each(['an instance', 'a build'])('from %s', (place) => {
    const reach: From = (targets) => places.get(place)?.(targets) ?? Promise.reject(new Error('no such place'))

    it('the world and the name servers are open', async () => {
      expect(await reach([world])).toEqual([format(world)])
      const resolvers = parseResolvers(await readFile('/etc/resolv.conf', 'utf8'))
      for (const address of resolvers) {
        // Not all answer over TCP; what the host reaches, the container must.
        const there = { address, port: 53 }
        expect(await reach([there])).toEqual((await hostReaches(there)) ? [format(there)] : [])
      }
    })

    it('of the host only the proxy is', async () => {
      const open = hosts.map((address) => ({ address, port: portOf(proxy) }))
      expect(await reach(open)).toEqual(open.map(format))
    })

    it('nothing else that listens on the host is', async () => {
      const tcp = await readFile('/proc/net/tcp', 'utf8')
      const ports = [...new Set(parseListeners(tcp, await readFile('/proc/net/tcp6', 'utf8')).map(({ port }) => port))]
      expect(ports).toContain(portOf(service))
      expect(await hostReaches({ address: hosts[0] ?? '', port: portOf(service) })).toBe(true)
      const shut = ports.filter((port) => port !== portOf(proxy))
      expect(await reach(hosts.flatMap((address) => shut.map((port) => ({ address, port }))))).toEqual([])
    })

    it('link-local addresses and denied networks are shut', async () => {
      const metadata = { address: world.linkLocal, port: 80 }
      expect(await hostReaches(metadata)).toBe(true)
      expect(await hostReaches(denied)).toBe(true)
      expect(await reach([metadata, denied])).toEqual([])
    })

    it('other instances are shut', async () => {
      expect(await hostReaches(neighbour)).toBe(true)
      expect(await reach([neighbour])).toEqual([])
    })

    it('containers of others are shut, on their bridge and by their published port', async () => {
      const there = await foreignContainers()
      for (const target of there) {
        // Just started: its program may not listen yet.
        for (let i = 0; i < 50 && !(await hostReaches(target)); i += 1) await delay(100)
        expect(await hostReaches(target)).toBe(true)
      }
      const published = there.filter(({ address }) => address === '127.0.0.1').map(({ port }) => port)
      const byHost = hosts.flatMap((address) => published.map((port) => ({ address, port })))
      expect(await reach([...there.filter(({ address }) => address !== '127.0.0.1'), ...byHost])).toEqual([])
    })
  })

  it('bridges have no IPv6 and drop foreign source addresses', async () => {
    for (const { bridge } of [test.runtime.networks.instances, test.runtime.networks.builds]) {
      expect((await readFile(`/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`, 'utf8')).trim()).toBe('1')
      expect((await readFile(`/proc/sys/net/ipv4/conf/${bridge}/rp_filter`, 'utf8')).trim()).toBe('1')
    }
  })

  /** One on the engine's default bridge with a published port, one on a bridge of an unusual name made after the firewall. */
  async function foreignContainers(): Promise<Target[]> {
    const { docker } = test
    if (foreign.length === 0) {
      const published = await docker.createContainer({
        Image: image,
        ExposedPorts: { '8000/tcp': {} },
        HostConfig: { PortBindings: { '8000/tcp': [{ HostIp: '0.0.0.0', HostPort: '' }] } },
      })
      foreign.push({ id: published.id })
      await published.start()
      const name = `zz${test.site.installation}`.slice(0, 12)
      const network = await docker.createNetwork({
        Name: name,
        Options: { 'com.docker.network.bridge.name': name },
      })
      const apart = await docker.createContainer({ Image: image, HostConfig: { NetworkMode: name } })
      foreign.push({ id: apart.id, network: network.id })
      await apart.start()
    }
    const found = await Promise.all(foreign.map(({ id }) => docker.getContainer(id).inspect()))
    return found.flatMap(({ NetworkSettings }) => {
      const address = Object.values(NetworkSettings.Networks)[0]?.IPAddress ?? ''
      const port = NetworkSettings.Ports['8000/tcp']?.[0]?.HostPort
      return [{ address, port: 8000 }, ...(port === undefined ? [] : [{ address: '127.0.0.1', port: Number(port) }])]
    })
  }
})

describe('the firewall', () => {
  let test: TestRuntime
  beforeAll(async () => {
    test = await makeTestRuntime()
  })
  afterAll(() => test.dispose())

  const chain = (kind: string): string => `SLW-${test.site.installation}-${kind}`
  const rules = async (parent: string): Promise<string[]> =>
    (await run('iptables', ['-w', '-S', parent])).stdout.trim().split('\n').slice(1)

  it('is proved by a probe that leaves nothing', async () => {
    // Twice at once, as by a start of Slipway and somebody who asks its doctor meanwhile.
    await Promise.all([test.runtime.probeFirewall(), test.runtime.probeFirewall()])
    const { stdout } = await run('ip', ['-o', 'link'])
    expect(stdout).not.toContain(`${test.runtime.networks.instances.bridge}c`)
  })

  it('stays as it is when nothing has changed', async () => {
    await settle()
    const answers: string[] = []
    for (let i = 0; i < 3 && answers.at(-1) !== 'unchanged'; i += 1) answers.push(await test.runtime.ensureFirewall())
    // Seldom more than once: other tests make bridges meanwhile, which is a change too.
    expect(answers.at(-1)).toBe('unchanged')
  })

  it.each([
    [
      'a lost jump from INPUT',
      () => ['-D', 'INPUT', '-i', `${test.runtime.networks.bridgePrefix}+`, '-j', chain('IN')],
    ],
    [
      'a lost jump from DOCKER-USER',
      () => ['-D', 'DOCKER-USER', '-i', `${test.runtime.networks.bridgePrefix}+`, '-j', chain('FW')],
    ],
    ['an emptied chain', () => ['-F', chain('IN')]],
    ['a rule let in', () => ['-I', chain('FW'), '1', '-j', 'ACCEPT']],
    [
      'another program’s rule before ours',
      () => ['-I', 'INPUT', '1', '-i', `${test.runtime.networks.bridgePrefix}+`, '-j', 'ACCEPT'],
    ],
  ])('comes back after %s', async (name, change) => {
    await settle()
    await run('iptables', ['-w', ...change()])
    if (name !== 'a rule let in' && !name.includes('DOCKER-USER')) {
      await expect(test.runtime.probeFirewall()).rejects.toMatchObject({ code: 'unavailable' })
    }
    expect(await test.runtime.ensureFirewall()).toBe('written')
    await test.runtime.probeFirewall()
    const input = await rules('INPUT')
    const ours = input.findIndex((rule) => rule.includes(chain('IN')))
    expect(input.slice(0, ours).filter((rule) => !rule.includes('-j SLW-'))).toEqual([])
    if (name.startsWith('another')) await run('iptables', ['-w', '-D', ...change().slice(1, 2), ...change().slice(3)])
  })

  it('is made once however often it is asked for, and leaves others’ rules alone', async () => {
    const own = `T-${test.site.installation}`
    await run('iptables', ['-w', '-N', own])
    try {
      await run('iptables', ['-w', '-A', own, '-j', 'RETURN'])
      await Promise.all([1, 2, 3].map(() => test.runtime.prepare()))
      expect((await rules('INPUT')).filter((rule) => rule.includes(chain('IN')))).toHaveLength(1)
      expect((await rules('DOCKER-USER')).filter((rule) => rule.includes(chain('FW')))).toHaveLength(1)
      expect(await rules(own)).toEqual([`-A ${own} -j RETURN`])
    } finally {
      await run('iptables', ['-w', '-F', own])
      await run('iptables', ['-w', '-X', own])
    }
  })

  it('is kept for the next start of the machine as it was written last, for nobody else to read', async () => {
    const path = firewallFile(test.dataDir)
    const kept = (await readFile(path, 'utf8')).split('\n')
    expect(kept.filter((line) => line.startsWith(`-A ${chain('IN')} `))).toHaveLength((await rules(chain('IN'))).length)
    expect(kept).toContain(`-A ${chain('TO')} -j DROP`)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('goes without a trace', async () => {
    const gone = await makeTestRuntime()
    await gone.runtime.tearDown()
    await expect(stat(firewallFile(gone.dataDir))).rejects.toMatchObject({ code: 'ENOENT' })
    await gone.dispose()
    await gone.dispose()
    const { stdout } = await run('iptables-save', ['-t', 'filter'])
    expect(stdout).not.toContain(`SLW-${gone.site.installation}`)
    await expect(gone.docker.getNetwork(`slw-${gone.site.installation}-0`).inspect()).rejects.toMatchObject({
      statusCode: 404,
    })
  })

  /** Other tests make bridges meanwhile, which is a change too. */
  async function settle(): Promise<void> {
    for (let i = 0; i < 10 && (await test.runtime.ensureFirewall()) === 'written'; i++);
  }
})

describe('the networks', () => {
  it('refuse a range that is taken, and a network of the same name that is another’s', async () => {
    const test = await makeTestRuntime()
    const { installation, network } = test.site
    const { engine, dataDir } = test
    const options = { engine, dataDir, denyNetworks: [], bind: '127.0.0.1', publicPorts: [], logger: silentLogger }
    const other = makeDockerRuntime({ ...options, installation: `${installation}x`, network })
    const elsewhere = makeDockerRuntime({ ...options, installation, network: '10.127.0.0/21' })
    const name = `slw-${installation}y-0`
    const foreign = await test.docker.createNetwork({ Name: name })
    const clash = makeDockerRuntime({ ...options, installation: `${installation}y`, network: '10.127.8.0/21' })
    try {
      await expect(other.prepare()).rejects.toMatchObject({
        code: 'conflict',
        hint: 'Choose a free range, for example SLIPWAY_NETWORK=10.214.0.0/16.',
      })
      await expect(elsewhere.prepare()).rejects.toMatchObject({ code: 'conflict' })
      await expect(clash.prepare()).rejects.toMatchObject({ code: 'conflict' })
      await clash.tearDown()
      expect(await foreign.inspect()).toMatchObject({ Id: foreign.id })
    } finally {
      await foreign.remove()
      await other.tearDown()
      await test.dispose()
    }
  })
})

function from(test: TestRuntime, containerId: string): From {
  return async (targets) => {
    // -e: ends with 0 when the connection stood. All at once: what is dropped instead of refused takes the two seconds.
    const script =
      'for t in "$@"; do ( nc -w 2 ${t%:*} ${t#*:} -e /bin/true >/dev/null 2>&1 && echo "$t" ) & done; wait'
    const found: string[] = []
    for (let at = 0; at < targets.length; at += 24) {
      const batch = targets.slice(at, at + 24).map(format)
      const argv = ['/bin/sh', '-c', script, 'reach', ...batch]
      const { output } = await test.runtime.exec(containerId, argv, { timeoutMs: 15_000, signal: live })
      found.push(...batch.filter((target) => output.includes(target)))
    }
    return found
  }
}

async function hostReaches({ address, port }: Target): Promise<boolean> {
  return run('/bin/busybox', ['nc', '-w', '2', address, String(port), '-e', '/bin/true']).then(
    () => true,
    () => false,
  )
}

function addressesOfHost(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => name === 'eth0' || name === 'docker0')
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address)
}

async function listen(): Promise<Server> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  return server
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

function format({ address, port }: Target): string {
  return `${address}:${port}`
}
