import { SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { LineSplitter } from '../../kernel/terminal-text.ts'
import type { AttachedRuntime, InstanceSpec, Runtime } from '../../runtime/index.ts'
import { runAttached } from './attach.ts'
import { makeCanary } from './canary.ts'
import { asInstance, findOwn, inspectEnded, listOwn, removeOwn, stopOwn, surveyOwn } from './containers.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'
import { execIn } from './exec.ts'
import { firewallFile } from './firewall-file.ts'
import { makeFirewall } from './firewall.ts'
import { followCommand } from './follow-command.ts'
import { readInstanceLog } from './instance-logs.ts'
import { readListeners } from './listeners.ts'
import { planNetworks, reservedAddresses, type NetworkPlan } from './network-plan.ts'
import { assertOwnNetworks, prepareNetworks, removeNetworks } from './networks.ts'
import { startContainer, type StartOptions } from './start-container.ts'
import { makeContainerWatch } from './watch-containers.ts'

export interface DockerRuntimeOptions {
  readonly engine: Engine
  readonly installation: string
  readonly dataDir: string
  /** The data folder's mark: another one's installation of the same name is refused. Without it nothing is compared. */
  readonly owner?: string
  /** CIDR from which the bridges are cut (SLIPWAY_NETWORK). */
  readonly network: string
  readonly denyNetworks: readonly string[]
  /** Where the proxy listens, and its public ports: what instances may reach of the host. */
  readonly bind: string
  readonly publicPorts: readonly number[]
  readonly logger: Logger
}

/** Instances as plain containers on the local engine. */
export interface DockerRuntime extends Runtime, AttachedRuntime {
  readonly networks: NetworkPlan
  /**
   * Looks whether the firewall still is what it must be, and writes it again when not. To be called every 30 s and on
   * `resync`.
   */
  ensureFirewall(): Promise<'unchanged' | 'written'>
  /** Tries the firewall from inside both bridges (0.2 s); throws `unavailable` with what could be reached. */
  probeFirewall(): Promise<void>
  /** Throws `conflict` when what this installation's name has on the engine belongs to another data folder. */
  assertOwn(): Promise<void>
  /** Removes firewall and networks; for tests and for taking an installation away. The containers must be gone. */
  tearDown(): Promise<void>
}

export function makeDockerRuntime(options: DockerRuntimeOptions): DockerRuntime {
  const { engine, installation, logger } = options
  const whose = { installation, owner: options.owner }
  const networks = planNetworks(installation, options.network)
  const bridges = [networks.instances.bridge, networks.builds.bridge]
  const firewall = makeFirewall({
    policy: {
      installation,
      bridgePrefix: networks.bridgePrefix,
      denyNetworks: [networks.range, ...options.denyNetworks],
      bind: options.bind,
      publicPorts: options.publicPorts,
    },
    bridges,
    bootFile: firewallFile(options.dataDir),
    logger,
  })
  const readHost = once(() => engine.call('info', (docker) => docker.info() as Promise<HostInfo>))

  async function startOptions(spec: InstanceSpec, network: string, signal: AbortSignal): Promise<StartOptions> {
    const { NCPU, MemTotal } = await readHost()
    if (spec.limits.memoryBytes > MemTotal) throw tooMuchMemory(spec.limits.memoryBytes, MemTotal)
    return { engine, plan: { installation, network, hostCpus: NCPU }, signal, logger }
  }

  const keepFirewall = (): void => {
    firewall.ensure().catch((error: unknown) => logger.error('the firewall could not be kept', { error }))
  }

  return {
    networks,
    ensureFirewall: () => firewall.ensure(),
    probeFirewall: makeCanary([networks.instances, networks.builds]),
    assertOwn: () => assertOwnNetworks(engine, whose, networks),
    async prepare() {
      await prepareNetworks(engine, whose, networks)
      await firewall.ensure()
      return { subnet: networks.instances.subnet, reserved: reservedAddresses(networks.instances) }
    },
    async start(spec, signal) {
      const network = spec.address === null ? networks.builds.name : networks.instances.name
      return startContainer(spec, await startOptions(spec, network, signal))
    },
    async run(spec, run) {
      const started = await startContainer(spec, await startOptions(spec, networks.builds.name, run.signal))
      return followCommand(started.containerId, run, { engine, installation })
    },
    runAttached: async (spec, signal) => runAttached(spec, await startOptions(spec, networks.builds.name, signal)),
    keepRunning: (containerId) => setRestarts(engine, containerId, keep),
    letEnd: (containerId) => letEnd(engine, installation, containerId),
    async inspect(containerId) {
      const found = await inspectEnded(() => findOwn(engine, installation, containerId))
      return found === null ? null : asInstance(found)
    },
    exec: (containerId, argv, limits) => execIn(engine, containerId, argv, limits),
    readLog: (containerId, options) => readInstanceLog(engine, containerId, options),
    logs: (containerId, tail) => readLogs(engine, containerId, tail),
    async listeners(containerId) {
      const found = await findOwn(engine, installation, containerId)
      return found === null ? null : readListeners(found.State.Pid, found.Id)
    },
    stop: (containerId, graceMs) => stopOwn(engine, installation, containerId, graceMs),
    remove: (containerId) => removeOwn(engine, installation, containerId),
    list: (of) => listOwn(engine, installation, of),
    survey: () => surveyOwn(engine, installation),
    // An engine that (re)starts writes its own rules: ours must come before them again at once.
    watch: makeContainerWatch({ engine, installation, logger, onBegun: keepFirewall }),
    async tearDown() {
      await removeNetworks(engine, installation, networks)
      await firewall.remove()
    },
  }
}

interface HostInfo {
  readonly NCPU: number
  readonly MemTotal: number
}

function tooMuchMemory(wanted: number, total: number): SlipwayError {
  const gigabytes = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GB`
  return new SlipwayError(
    'start_failed',
    `resources.memory asks for ${gigabytes(wanted)}, and the whole host has ${gigabytes(total)}.`,
    { hint: 'Lower resources.memory in slipway.yml.' },
  )
}

/**
 * Not `on-failure`: sites that ended in order when the machine shut down must come back too. A `stop` of Slipway's holds; the
 * engine waits longer from restart to restart, up to a minute.
 */
const keep = { Name: 'unless-stopped' }

async function setRestarts(engine: Engine, containerId: string, policy: { readonly Name: string }): Promise<void> {
  await engine.call('change restarts', (docker) => docker.getContainer(containerId).update({ RestartPolicy: policy }))
}

async function letEnd(engine: Engine, installation: string, containerId: string): Promise<void> {
  if ((await findOwn(engine, installation, containerId)) === null) return
  await setRestarts(engine, containerId, { Name: 'no' })
  // One that it was about to bring back it brings back once more, whatever was changed meanwhile.
  if ((await findOwn(engine, installation, containerId))?.State.Restarting === true)
    await stopOwn(engine, installation, containerId, 0)
}

/** The newest lines in the order of the engine's log. */
async function readLogs(engine: Engine, containerId: string, tail: number): Promise<string[]> {
  const lines: string[] = []
  const splitters = { stdout: new LineSplitter(push), stderr: new LineSplitter(push) }
  function push(line: string): void {
    lines.push(line)
  }
  const log = await engine.call('read log', (docker) =>
    docker.getContainer(containerId).logs({ follow: false, stdout: true, stderr: true, tail }),
  )
  makeDemuxer((output, content) => splitters[output].write(content))(log)
  splitters.stdout.end()
  splitters.stderr.end()
  return lines.slice(-tail)
}

/** Remembers the answer, not the failure. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: T | undefined
  return async () => (answer ??= await ask())
}
