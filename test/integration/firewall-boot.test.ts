import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { firewallFile } from '../../src/adapters/docker/firewall-file.ts'
import { bootScript, type FirewallPolicy, jumpsInPlace } from '../../src/adapters/docker/firewall-rules.ts'
import { makeEngine } from '../../src/adapters/docker/index.ts'
import { planNetworks } from '../../src/adapters/docker/network-plan.ts'
import { prepareNetworks } from '../../src/adapters/docker/networks.ts'
import { renderUnits, unitNames } from '../../src/setup/service/units.ts'
import { dockerOf } from '../support/docker.ts'
import { type OwnEngine, startOwnEngine } from '../support/own-engine.ts'

/*
 * A machine that starts: its firewall is empty, its engine brings instances back, Slipway does not run yet. The machine is a network
 * namespace with an engine of its own.
 */

const run = promisify(execFile)
const installation = 'boot'
const networks = planNetworks(installation, '10.220.0.0/21')
const policy: FirewallPolicy = {
  installation,
  bridgePrefix: networks.bridgePrefix,
  denyNetworks: [networks.range],
  bind: '127.0.0.1',
  publicPorts: [8080],
}
const port = 7000
let engine: OwnEngine
let dataDir: string
interface Container {
  readonly id: string
  readonly pid: number
  readonly address: string
}
let containers: string[]
/** Two instances, and a container of others. */
let now: Container[] = []
const listeners: ChildProcess[] = []

const onMachine = (...argv: string[]) => run('nsenter', [`--net=/run/netns/${engine.space}`, ...argv])
const rulesNow = async (): Promise<string[]> => (await onMachine('iptables-save', '-t', 'filter')).stdout.split('\n')

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'slipway-boot-'))
  engine = await startOwnEngine()
  const { socketPath, image } = engine
  await prepareNetworks(makeEngine({ socketPath }), { installation, owner: undefined }, networks)
  const begin = async (network: string): Promise<string> => {
    const container = await dockerOf(socketPath).createContainer({
      Image: image,
      Cmd: ['/bin/sh', '-c', `exec nc -ll -p ${port} -e /bin/true`],
      HostConfig: { NetworkMode: network, RestartPolicy: { Name: 'unless-stopped' } },
    })
    await container.start()
    return container.id
  }
  // The builds' network, where the engine gives addresses away, is made the same way as the instances'.
  containers = [await begin(networks.builds.name), await begin(networks.builds.name), await begin('bridge')]
  now = await untilRunning()
  const listen = ['/bin/busybox', 'nc', '-ll', '-p', String(port), '-e', '/bin/true']
  listeners.push(spawn('nsenter', [`--net=/run/netns/${engine.space}`, ...listen], { stdio: 'ignore' }))
})
afterAll(async () => {
  for (const listener of listeners) listener.kill('SIGKILL')
  const docker = dockerOf(engine.socketPath)
  for (const { Id } of await docker.listContainers({ all: true })) await docker.getContainer(Id).remove({ force: true })
  await engine.close()
  await rm(dataDir, { recursive: true })
})

/** Asks until the engine has brought all of them back. */
async function untilRunning(): Promise<Container[]> {
  for (let attempt = 1; ; attempt += 1) {
    const all = await Promise.all(containers.map((id) => dockerOf(engine.socketPath).getContainer(id).inspect()))
    const found = all.map(({ Id, State, NetworkSettings }) => ({
      ...{ id: Id, pid: State.Running ? State.Pid : 0 },
      address: Object.values(NetworkSettings.Networks)[0]?.IPAddress ?? '',
    }))
    const isNew = ({ pid }: Container): boolean => pid > 0 && now.every((before) => before.pid !== pid)
    if (found.every(isNew)) return found
    if (attempt === 300) throw new Error('the engine does not bring the containers back')
    await delay(100)
  }
}

async function startMachine(beforeEngine: () => Promise<void>): Promise<void> {
  await engine.stop()
  // Of a machine that was off nothing lives on.
  for (const { pid } of now) process.kill(pid, 'SIGKILL')
  for (const table of ['filter', 'nat']) {
    for (const what of ['-F', '-X']) await onMachine('iptables', '-t', table, what)
  }
  for (const chain of ['INPUT', 'FORWARD']) await onMachine('iptables', '-P', chain, 'ACCEPT')
  await beforeEngine()
  await engine.start()
  now = await untilRunning()
}

/** What the unit of systemd does. */
async function runUnit(): Promise<void> {
  const facts = { installation, dataDir, root: '/opt/slipway', node: process.execPath, ownPostgres: true }
  const unit = renderUnits(facts).find(({ name }) => name === unitNames(installation).firewall)
  const commands = [...(unit?.text ?? '').matchAll(/^ExecStart=(-?)(.*)$/gm)]
  expect(commands).toHaveLength(2)
  for (const [, mayFail, command = ''] of commands) {
    await onMachine(...command.split(' ')).catch((error: unknown) => {
      if (mayFail === '') throw error
    })
  }
}

/** From the first instance. */
async function reaches(address: string): Promise<boolean> {
  const knock = ['/bin/busybox', 'nc', '-w', '1', address, String(port), '-e', '/bin/true']
  return run('nsenter', [`--net=/proc/${now[0]?.pid}/ns/net`, ...knock]).then(
    () => true,
    () => false,
  )
}

const reached = async () => ({
  machine: await reaches(networks.builds.gateway),
  neighbour: await reaches(now[1]?.address ?? ''),
  foreign: await reaches(now[2]?.address ?? ''),
})

it('with no firewall but the engine’s, instances reach the machine itself, and no neighbour', async () => {
  await startMachine(async () => undefined)
  expect(await reached()).toEqual({ machine: true, neighbour: false, foreign: false })
})

it('with the rules that Slipway kept they reach nothing, and what others wrote before the engine stays', async () => {
  await writeFile(firewallFile(dataDir), bootScript(policy, { resolvers: [], foreignBridges: [], uplinkBridges: [] }))
  const ofOthers = '-A DOCKER-USER -d 192.0.2.0/24 -j DROP'
  await startMachine(async () => {
    await onMachine('iptables', '-N', 'DOCKER-USER')
    await onMachine('iptables', ...ofOthers.split(' '))
    await runUnit()
  })
  expect(await reached()).toEqual({ machine: false, neighbour: false, foreign: false })
  expect(await rulesNow()).toContain(ofOthers)
})

it('the same where nobody has made the engine’s chain, and Slipway finds the rules in their place', async () => {
  await startMachine(runUnit)
  expect(await reached()).toEqual({ machine: false, neighbour: false, foreign: false })
  const saved = await rulesNow()
  expect(jumpsInPlace(policy, saved)).toBe(true)
  // Before all by which the engine lets something through.
  const forward = saved.filter((rule) => rule.startsWith('-A FORWARD'))
  const accepts = forward.findIndex((rule) => rule.endsWith('-j ACCEPT'))
  expect(accepts).toBeGreaterThan(0)
  expect(forward.slice(0, accepts)).toContain('-A FORWARD -j DOCKER-USER')
})
