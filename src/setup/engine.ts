import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { SlipwayError } from '../kernel/errors.ts'
import { lockFile } from '../kernel/file-lock.ts'
import { askEngine, type EngineProbe, probeEngine } from './engine-call.ts'
import { startDaemon, startUnit } from './engine-start.ts'
import { isAtLeast } from '../kernel/version.ts'
import { findProgram } from './programs.ts'

/** What is known of an engine that answers. */
export interface EngineFacts {
  readonly version: string
  readonly apiVersion: string
  /** Containers live on while the engine is down. */
  readonly liveRestore: boolean
  /** Containers on the default bridge cannot reach each other. */
  readonly isolatesContainers: boolean
  /** The process that we started; null when the engine ran already or systemd runs it. */
  readonly startedPid: number | null
  /** Sentences for the operator: what this engine lacks, and how to mend it. */
  readonly warnings: readonly string[]
}

/** What an engine could be started with here. */
export interface EngineMachine {
  /** The socket on which an engine of the machine itself listens; for another one nothing is started. */
  readonly ownSocket: string
  readonly dockerd: string | null
  /** More arguments for dockerd; none but in tests. */
  readonly arguments: readonly string[]
  readonly configFile: string
  readonly root: boolean
  /** systemd runs this machine and has a unit for the engine. */
  readonly unit: boolean
}

interface EngineOptions {
  readonly socket: string
  /** Where the output of an engine goes that we start; its folder exists. */
  readonly logFile: string
  readonly say: (line: string) => void
  readonly machine?: EngineMachine
  /** How long an engine may take to answer before it counts as hung. */
  readonly answerLimitMs?: number
}

const oldestApi = '1.41'

export function inspectMachine(): EngineMachine {
  const units = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system']
  return {
    ownSocket: '/var/run/docker.sock',
    dockerd: findProgram('dockerd'),
    arguments: [],
    configFile: '/etc/docker/daemon.json',
    root: process.getuid?.() === 0,
    unit: existsSync('/run/systemd/system') && units.some((folder) => existsSync(`${folder}/docker.service`)),
  }
}

/**
 * Resolves when an engine answers on the socket; starts the machine's own one when nobody listens there. One that is there and
 * silent is told, not started over. Safe to call at once from several processes.
 */
export async function ensureEngine(options: EngineOptions): Promise<EngineFacts> {
  const machine = options.machine ?? inspectMachine()
  const probe = await probeEngine(options.socket, options.answerLimitMs)
  if (probe.kind === 'answers') return describeEngine(options.socket, probe, null)
  refuseToStart(probe, options.socket, machine)
  const lock = await lockFile(`${options.socket}.slipway-lock`, { waitMs: 120_000 })
  if (lock === null) {
    throw new SlipwayError('unavailable', 'Another process has been starting the Docker engine for two minutes.')
  }
  try {
    const again = await probeEngine(options.socket, options.answerLimitMs)
    if (again.kind === 'answers') return await describeEngine(options.socket, again, null)
    refuseToStart(again, options.socket, machine)
    return await startEngine(options, machine)
  } finally {
    lock.release()
  }
}

function refuseToStart(probe: EngineProbe, socket: string, machine: EngineMachine): void {
  const error = explainEngine(probe, socket, machine)
  if (error !== null) throw error
}

/** Why no engine is started, in one sentence; null when one may be. */
export function explainEngine(probe: EngineProbe, socket: string, machine: EngineMachine): SlipwayError | null {
  const told = (sentence: string, hint: string): SlipwayError => new SlipwayError('unavailable', sentence, { hint })
  switch (probe.kind) {
    case 'answers':
      return null
    case 'hung':
      return told(
        `The Docker engine on ${socket} takes connections but does not answer.`,
        'It is stopped or overloaded: look at it (systemctl status docker, or its log), then start again. Slipway does not start another over it.',
      )
    case 'strange':
      return told(
        `What listens on ${socket} is no Docker engine: ${probe.what}.`,
        'Set DOCKER_HOST to the engine’s socket.',
      )
    case 'forbidden':
      return told(`This user may not use the Docker engine on ${socket}.`, 'Start Slipway as root.')
    case 'absent':
      if (socket !== machine.ownSocket)
        return told(`No Docker engine answers on ${socket}.`, 'Start it, or correct DOCKER_HOST.')
      if (machine.dockerd === null && !machine.unit)
        return told('No Docker engine is installed.', 'Install one: apt-get install docker.io')
      if (!machine.root)
        return told(
          'The Docker engine does not run, and only root can start it.',
          'Run as root: systemctl start docker',
        )
      return null
  }
}

async function startEngine(options: EngineOptions, machine: EngineMachine): Promise<EngineFacts> {
  const config = readConfig(machine.configFile)
  if (machine.unit) {
    if (config === null) {
      options.say(`Writing ${machine.configFile}: sites go on while the engine restarts, containers are kept apart.`)
      await writeFile(machine.configFile, `${JSON.stringify({ 'live-restore': true, icc: false }, null, 2)}\n`)
    }
    options.say('Starting the Docker engine (systemctl start docker) …')
    await startUnit(options.socket)
    return describeEngine(options.socket, await probeEngine(options.socket), null)
  }
  const args = [...engineFlags(config ?? {}), ...machine.arguments]
  options.say(`Starting the Docker engine (dockerd ${args.join(' ')}), because none answers on ${options.socket} …`)
  const pid = await startDaemon({ ...options, program: machine.dockerd ?? 'dockerd', args })
  return describeEngine(options.socket, await probeEngine(options.socket), pid)
}

function readConfig(path: string): Record<string, unknown> | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  try {
    const value = JSON.parse(text === '' ? '{}' : text) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch (cause) {
    throw new SlipwayError('unavailable', `The Docker engine’s ${path} is not JSON.`, { hint: 'Correct it.', cause })
  }
}

/** dockerd refuses a flag that stands in its file too; the file is the operator's and wins. */
export function engineFlags(config: Readonly<Record<string, unknown>>): string[] {
  return [
    ...('live-restore' in config ? [] : ['--live-restore']),
    ...('icc' in config ? [] : ['--icc=false']),
    // Its own log and the containers' have limits of their own; this keeps ours quiet.
    ...('log-level' in config ? [] : ['--log-level=warn']),
  ]
}

async function describeEngine(socket: string, probe: EngineProbe, startedPid: number | null): Promise<EngineFacts> {
  if (probe.kind !== 'answers') {
    throw new SlipwayError('unavailable', `The Docker engine on ${socket} stopped answering.`)
  }
  if (!isAtLeast(probe.apiVersion, oldestApi)) {
    throw new SlipwayError(
      'unavailable',
      `The Docker engine on ${socket} is too old: it speaks API ${probe.apiVersion} (version ${probe.version}), Slipway needs ${oldestApi}.`,
      { hint: 'Install Docker 20.10 or newer.' },
    )
  }
  const [info, bridge] = await Promise.all([
    askEngine(socket, '/info'),
    // An engine may run without the default bridge.
    askEngine(socket, '/networks/bridge').catch((): Record<string, unknown> => ({})),
  ])
  const liveRestore = info['LiveRestoreEnabled'] === true
  const icc = ((bridge['Options'] ?? {}) as Record<string, unknown>)['com.docker.network.bridge.enable_icc']
  const isolatesContainers = icc === 'false' || bridge['Options'] === undefined
  const swarm = ((info['Swarm'] ?? {}) as Record<string, unknown>)['LocalNodeState'] === 'active'
  const { version, apiVersion } = probe
  const warnings = engineWarnings({ liveRestore, isolatesContainers, swarm })
  return { version, apiVersion, liveRestore, isolatesContainers, startedPid, warnings }
}

export function engineWarnings(engine: {
  liveRestore: boolean
  isolatesContainers: boolean
  swarm: boolean
}): string[] {
  const warnings: string[] = []
  if (!engine.liveRestore) {
    warnings.push(
      engine.swarm
        ? 'The Docker engine is in Swarm mode, which excludes live-restore: when the engine stops, all sites stop with it.'
        : 'The Docker engine runs without live-restore: when it stops, all sites stop with it. Put "live-restore": true into /etc/docker/daemon.json, then: systemctl reload docker',
    )
  }
  if (!engine.isolatesContainers) {
    warnings.push(
      'The Docker engine lets containers on its default bridge reach each other. Put "icc": false into /etc/docker/daemon.json, then: systemctl restart docker',
    )
  }
  return warnings
}
