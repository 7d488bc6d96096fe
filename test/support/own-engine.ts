import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeEngine } from '../../src/adapters/docker/index.ts'
import { ensureBaseImage } from './base-image.ts'
import { dockerOf } from './docker.ts'
import { processesIn } from './git-server.ts'

const run = promisify(execFile)

export interface OwnEngine {
  readonly socketPath: string
  /** Name of its network namespace. */
  readonly space: string
  /** Digest of the base image in it. */
  readonly image: string
  freeze(): void
  thaw(): void
  /** kill -9; the containers live on. */
  kill(): Promise<void>
  /** As an upgrade does it: SIGTERM, and wait. */
  stop(): Promise<void>
  /** Resolves when it answers; nothing is started when it runs already. */
  start(): Promise<void>
  close(): Promise<void>
}

export interface EngineOptions {
  /** Its data are on a file system of this size. */
  readonly diskMb?: number
  /** Without it, as engines are that somebody set up by hand, all containers go down with it; true when left out. */
  readonly liveRestore?: boolean
}

/**
 * An engine that a test may stop and kill: its own data, processes and network namespace, so that it shares nothing with the
 * machine's.
 */
export async function startOwnEngine({ diskMb, liveRestore = true }: EngineOptions = {}): Promise<OwnEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'slw-own-'))
  const space = `e${folder.slice(-6)}`
  const socketPath = join(folder, 'engine.sock')
  let daemon: ChildProcess | null = null
  await run('ip', ['netns', 'add', space])
  await run('ip', ['-n', space, 'link', 'set', 'lo', 'up'])
  await writeFile(join(folder, 'daemon.json'), '{}')
  if (diskMb !== undefined) {
    await mkdir(join(folder, 'data'))
    await run('mount', ['-t', 'tmpfs', '-o', `size=${diskMb}m`, 'slipway-test', join(folder, 'data')])
  }

  const runs = (): boolean => daemon !== null && daemon.exitCode === null && daemon.signalCode === null

  async function start(): Promise<void> {
    if (!runs()) await launch()
    await answers()
  }

  async function launch(): Promise<void> {
    // Where nobody reaps orphans, the dead containerd counts as alive, and the engine waits for it in vain.
    for (const left of ['pid', 'exec/containerd/containerd.pid']) await rm(join(folder, left), { force: true })
    const places = [
      '--data-root',
      join(folder, 'data'),
      '--exec-root',
      join(folder, 'exec'),
      '--pidfile',
      join(folder, 'pid'),
    ]
    const flags = [
      ...(liveRestore ? ['--live-restore'] : []),
      '--icc=false',
      '--host',
      `unix://${socketPath}`,
      '--config-file',
      join(folder, 'daemon.json'),
    ]
    daemon = spawn('nsenter', [`--net=/run/netns/${space}`, 'dockerd', ...places, ...flags], {
      stdio: 'ignore',
      detached: true,
    })
  }

  async function answers(): Promise<void> {
    const engine = makeEngine({ socketPath, timeoutMs: 1000 })
    for (let attempt = 1; ; attempt++) {
      try {
        await engine.call('ping', (docker) => docker.ping())
        return
      } catch (error) {
        if (attempt === 1_000) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = daemon
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = new Promise((resolve) => ending.once('exit', resolve))
    ending.kill(signal)
    await ended
  }

  async function close(): Promise<void> {
    daemon?.kill('SIGCONT')
    await end('SIGTERM')
    endShims(folder)
    await run('ip', ['netns', 'del', space])
    // Each start mounts the folder of its data onto itself; a killed one leaves that.
    while (
      await run('umount', ['-l', join(folder, 'data')]).then(
        () => true,
        () => false,
      )
    );
    await rm(folder, { recursive: true, force: true })
  }

  try {
    await start()
    return {
      socketPath,
      space,
      image: await copyBaseImage(socketPath),
      start,
      close,
      kill: () => end('SIGKILL'),
      stop: () => end('SIGTERM'),
      ...signals(),
    }
  } catch (error) {
    await close()
    throw error
  }

  function signals() {
    return { freeze: () => void daemon?.kill('SIGSTOP'), thaw: () => void daemon?.kill('SIGCONT') }
  }
}

/** With live-restore containers outlive their engine; one that was killed while it started some may know nothing of them. */
function endShims(folder: string): void {
  const shims = new Set(processesIn(folder).map((line) => line.split(' ')[0] ?? ''))
  const children = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && shims.has(parentOf(pid)))
  for (const pid of [...children, ...shims]) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}

function parentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop()?.split(' ')[1] ?? ''
  } catch {
    return ''
  }
}

async function copyBaseImage(socketPath: string): Promise<string> {
  const tag = await ensureBaseImage()
  const from = dockerOf()
  const to = dockerOf(socketPath)
  const loaded = await to.loadImage(await from.getImage(tag).get(), { quiet: true })
  await new Promise((resolve) => loaded.on('end', resolve).resume())
  return (await to.getImage(tag).inspect()).Id
}
