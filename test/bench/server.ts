import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { makeCluster } from '../../src/postgres/cluster.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { descendants } from './process-figures.ts'
import { freePort, waitFor } from './wait.ts'

const run = promisify(execFile)
export const root = resolve(import.meta.dirname, '../..')

/** A Slipway as its users start it: own PostgreSQL that syncs to disk, own proxy, own bridges, in a folder of its own. */
export interface BenchServer {
  readonly port: number
  readonly token: string
  readonly controlUrl: string
  readonly installation: string
  readonly dataDir: string
  /** Process of Slipway itself, as it is now. */
  readonly pid: number
  readonly proxyPid: () => Promise<number>
  sql<T extends object>(text: string, values?: unknown[]): Promise<T[]>
  /** `kill -9`, and a start as the first one was. `begunMs` is when it began, on performance.now()'s scale. */
  restart(): Promise<{ readonly begunMs: number; readonly ready: Promise<void> }>
  /** Ends everything that belongs to it; safe to repeat. */
  remove(): Promise<void>
}

export async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<BenchServer> {
  const installation = `bench-${randomBytes(3).toString('hex')}`
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-bench-'))
  // The proxy's and the database's own users pass through.
  await chmod(dataDir, 0o711)
  const port = await freePort()
  const token = `bench-${randomBytes(24).toString('hex')}`
  const env = {
    ...process.env,
    SLIPWAY_DATA: dataDir,
    SLIPWAY_INSTALLATION: installation,
    SLIPWAY_HTTP_PORT: String(port),
    SLIPWAY_NETWORK: findFreeRange(),
    SLIPWAY_ADMIN_TOKEN: token,
    SLIPWAY_YES: '1',
    DATABASE_URL: '',
    ...settings,
  }
  let child = launch(env)
  let pid = 0
  let removed = false
  const remove = async (): Promise<void> => {
    if (removed) return
    removed = true
    await end(child)
    await run(process.execPath, [join(root, 'src/setup/remove.ts'), '--data'], { env })
  }
  try {
    await untilReady(child)
    pid = findServer(child.pid as number)
    const cluster = makeCluster({ dataDir, name: 'control', logger: silentLogger })
    const connection = await cluster.ensure()
    return {
      port,
      token,
      installation,
      dataDir,
      controlUrl: `http://slipway.localhost:${port}`,
      get pid() {
        return pid
      },
      proxyPid: () => findListener(port),
      async sql<T extends object>(text: string, values: unknown[] = []) {
        const client = new pg.Client(connection)
        await client.connect()
        return client
          .query<T>(text, values)
          .then(({ rows }) => rows)
          .finally(() => client.end())
      },
      async restart() {
        const ended = new Promise((done) => child.once('exit', done))
        process.kill(pid, 'SIGKILL')
        await ended
        const begunMs = performance.now()
        child = launch(env)
        const ready = untilReady(child).then(() => void (pid = findServer(child.pid as number)))
        return { begunMs, ready }
      },
      remove,
    }
  } catch (error) {
    await remove().catch(() => rm(dataDir, { recursive: true, force: true }))
    throw error
  }
}

/** As `npm start` does it, with the flags that it gives to Node. */
function launch(env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, [join(root, 'src/setup/launch.mjs'), 'start', '--no-demo'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
}

function findServer(launcher: number): number {
  const found = descendants(launcher).find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('start.ts'))
  if (found === undefined) throw new Error('The server is not to be found below its launcher.')
  return found
}

async function untilReady(child: ChildProcess): Promise<void> {
  let output = ''
  const collect = (chunk: Buffer): void => void (output += chunk.toString())
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  await waitFor('Slipway to be ready', 60_000, () => {
    if (child.exitCode !== null) throw new Error(`Slipway ended with ${child.exitCode}:\n${output}`)
    return output.includes('Slipway is ready')
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  await ended
}

/** A /20 that no device of this machine has. */
function findFreeRange(): string {
  const taken = Object.values(networkInterfaces())
    .flat()
    .map((one) => one?.address.split('.').slice(0, 2).join('.'))
  const free = Array.from({ length: 14 }, (_, i) => `10.${241 + i}`).find((start) => !taken.includes(start))
  if (free === undefined) throw new Error('No range of addresses is free for the bench.')
  return `${free}.0.0/20`
}

/** The process that listens on a TCP port of this machine. */
export async function findListener(port: number): Promise<number> {
  const { stdout } = await run('ss', ['-Hltnp', `sport = :${port}`])
  const pid = /pid=(\d+)/.exec(stdout)?.[1]
  if (pid === undefined) throw new Error(`Nothing listens on port ${port}.`)
  return Number(pid)
}
