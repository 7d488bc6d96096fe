import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { freePort } from './free-port.ts'
import { root } from './root.ts'

const run = promisify(execFile)

/** A real Slipway of the test's own: own installation, data folder, ports and address range, on the machine's engine. */
export interface Slipway {
  readonly port: number
  readonly token: string
  readonly installation: string
  readonly dataDir: string
  readonly controlUrl: string
  /** '' when it has a cluster of its own. */
  readonly databaseUrl: string
  /** What the process printed so far. */
  output(): string
  pid(): number
  /** From the next start on it is the program in this folder: another checkout. */
  useProgram(folder: string): void
  /** Resolves when it is ready; `more` is in this life's environment only. */
  start(more?: Record<string, string>): Promise<void>
  /** Starts it and does not wait. */
  launch(more?: Record<string, string>): void
  /** Resolves with how the process ended: by itself, or by a signal. */
  ended(): Promise<number | NodeJS.Signals | null>
  /** SIGTERM and wait; or SIGKILL. */
  stop(signal?: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<number | null>
  get(host: string, path?: string, options?: { headers?: Record<string, string>; timeoutMs?: number }): Promise<Answer>
  api<T = unknown>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }>
  sql<T extends object>(text: string, values?: unknown[]): Promise<T[]>
  /** Ends everything and tells what is left over of this installation. */
  remove(): Promise<string[]>
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: string
}

let networks = (process.pid % 50) * 4

export interface Place {
  /** Stands before the command line: to run it in another network namespace. */
  readonly inside?: readonly string[]
  readonly port?: number
  /** A folder that is there already, and stays. */
  readonly dataDir?: string
}

export async function makeSlipway(
  env: Record<string, string> = {},
  { inside = [], port: given, dataDir: givenDir }: Place = {},
): Promise<Slipway> {
  const installation = `t${randomBytes(4).toString('hex')}`
  const dataDir = givenDir ?? (await mkdtemp(join(tmpdir(), 'slw-')))
  await run('chmod', ['0711', dataDir])
  const port = given ?? (await freePort())
  const token = `test-${randomBytes(20).toString('hex')}`
  const database: TestDatabase | null = 'DATABASE_URL' in env ? null : await createTestDatabase()
  // Each server of a test run cuts its bridges from a /20 of its own.
  networks += 1
  const network = `10.${200 + (networks % 40)}.${((networks * 7) % 16) * 16}.0/20`
  const settings: Record<string, string> = {
    SLIPWAY_DATA: dataDir,
    SLIPWAY_INSTALLATION: installation,
    SLIPWAY_HTTP_PORT: String(port),
    SLIPWAY_NETWORK: network,
    SLIPWAY_ADMIN_TOKEN: token,
    SLIPWAY_YES: '1',
    ...(database === null ? {} : { DATABASE_URL: database.url }),
    ...env,
  }
  let child: ChildProcess | null = null
  let output = ''
  let program = root

  const slipway: Slipway = {
    port,
    token,
    installation,
    dataDir,
    controlUrl: `http://slipway.localhost:${port}`,
    databaseUrl: settings['DATABASE_URL'] ?? '',
    output: () => output,
    pid: () => child?.pid ?? 0,
    useProgram: (folder) => void (program = folder),
    launch(more = {}) {
      output = ''
      // With the launcher's flags.
      const server = [process.execPath, '--max-semi-space-size=1', join(program, 'src/setup/start.ts'), '--no-demo']
      const [command = '', ...args] = [...inside, ...server]
      const started = spawn(command, args, {
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: process.env['HOME'] ?? '/root',
          NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/slipway'),
          ...settings,
          ...more,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      })
      child = started
      const collect = (chunk: Buffer): void => void (output += chunk.toString())
      started.stdout.on('data', collect)
      started.stderr.on('data', collect)
    },
    async start(more) {
      slipway.launch(more)
      const started = child as ChildProcess
      await waitFor(`Slipway to be ready`, 120_000, () => {
        const end = started.exitCode ?? started.signalCode
        if (end !== null) throw new Error(`Slipway ended with ${end}:\n${output}`)
        return output.includes('Slipway is ready')
      })
    },
    async ended() {
      const ending = child as ChildProcess
      if (ending.exitCode !== null || ending.signalCode !== null) return ending.exitCode ?? ending.signalCode
      return new Promise((done) => ending.once('exit', (code, signal) => done(code ?? signal)))
    },
    async stop(signal = 'SIGTERM') {
      const ending = child
      if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return ending?.exitCode ?? null
      const ended = new Promise<number | null>((done) => ending.once('exit', (code) => done(code)))
      process.kill(signal === 'SIGINT' ? -(ending.pid as number) : (ending.pid as number), signal)
      return ended
    },
    get: (host, path = '/', options = {}) => get(port, host, path, options),
    async api<T>(method: string, path: string, body?: unknown) {
      const answer = await get(port, 'slipway.localhost', `/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: answer.status, body: (answer.body === '' ? null : JSON.parse(answer.body)) as T }
    },
    async sql<T extends object>(text: string, values: unknown[] = []) {
      const { default: pg } = await import('pg')
      const own = { host: join(dataDir, 'run/postgres'), port: 5432, user: 'slipway', database: 'slipway' }
      const client = new pg.Client(database === null ? own : database.connection)
      await client.connect()
      try {
        return (await client.query<T>(text, values)).rows
      } finally {
        await client.end()
      }
    },
    async remove() {
      await slipway.stop()
      const left = await removeAll(settings, inside)
      await database?.drop()
      if (givenDir === undefined) await rm(dataDir, { recursive: true, force: true })
      return left
    },
  }
  return slipway
}

/** Ends the proxy and the cluster that the server left running (by their pid files), and this installation's things on the engine. */
async function removeAll(settings: Record<string, string>, inside: readonly string[]): Promise<string[]> {
  const env = { ...process.env, ...settings }
  const [program = '', ...args] = [...inside, process.execPath, join(root, 'src/setup/remove.ts')]
  await run(program, args, { env })
  const label = `label=slipway.installation=${settings['SLIPWAY_INSTALLATION']}`
  const lists = await Promise.all([
    run('docker', ['ps', '-aq', '--filter', label], { env }),
    run('docker', ['network', 'ls', '-q', '--filter', label], { env }),
    run('docker', ['images', '-q', '--filter', label], { env }),
  ])
  return lists.flatMap(({ stdout }) => stdout.split('\n').filter((line) => line !== ''))
}

export function get(
  port: number,
  host: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; timeoutMs?: number } = {},
): Promise<Answer> {
  return new Promise((done, fail) => {
    const req = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        headers: { host: `${host}:${port}`, ...options.headers },
        agent: false,
      },
      (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', fail)
        res.on('end', () =>
          done({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks).toString() }),
        )
      },
    )
    req.setTimeout(options.timeoutMs ?? 60_000, () => req.destroy(new Error(`${host}${path} did not answer`)))
    req.on('error', fail)
    req.end(options.body)
  })
}

export async function waitFor(what: string, withinMs: number, ready: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + withinMs
  while (!(await ready())) {
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms for ${what}`)
    await new Promise((done) => setTimeout(done, 25))
  }
}

/** A pusher's own clone, with real git. */
export interface Clone {
  readonly dir: string
  write(files: Readonly<Record<string, string>>): Promise<void>
  commit(message: string): Promise<string>
  git(...args: string[]): Promise<{ code: number; output: string }>
  /** The same, not waited for: for those who hang up in the middle. */
  start(...args: string[]): RunningGit
  /** Commits what was written and pushes it. */
  push(branch: string, ...options: string[]): Promise<Push>
  remove(): Promise<void>
}

export interface RunningGit {
  output(): string
  readonly ended: Promise<{ code: number; output: string }>
  /** Hangs up at once: git and the program that talks to the server. */
  kill(): void
}

export interface Push {
  readonly code: number
  readonly output: string
  /** The fields of the line for machines, for each environment. */
  readonly results: Record<string, string>[]
}

/** An empty token: git sends none of its own. */
export async function makeClone(slipway: Pick<Slipway, 'controlUrl' | 'token'>, app: string): Promise<Clone> {
  const dir = await mkdtemp(join(tmpdir(), 'clone-'))
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: slipway.token === '' ? '3' : '4',
    GIT_CONFIG_KEY_0: 'user.name',
    GIT_CONFIG_VALUE_0: 'Ada',
    GIT_CONFIG_KEY_1: 'user.email',
    GIT_CONFIG_VALUE_1: 'ada@example.org',
    GIT_CONFIG_KEY_2: 'init.defaultBranch',
    GIT_CONFIG_VALUE_2: 'main',
    GIT_CONFIG_KEY_3: 'http.extraHeader',
    GIT_CONFIG_VALUE_3: `Authorization: Basic ${Buffer.from(`ada:${slipway.token}`).toString('base64')}`,
  }
  const start: Clone['start'] = (...args) => {
    const child = spawn('git', args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    return {
      output: () => output,
      ended: new Promise((done) => child.on('close', (code) => done({ code: code ?? -1, output }))),
      kill: () => void process.kill(-(child.pid as number), 'SIGKILL'),
    }
  }
  const git: Clone['git'] = (...args) => start(...args).ended
  await git('init', '-q', '.')
  await git('remote', 'add', 'slipway', `${slipway.controlUrl}/${app}.git`)
  const clone: Clone = {
    dir,
    git,
    start,
    async write(files) {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(dir, path)), { recursive: true })
        await writeFile(join(dir, path), content)
      }
    },
    async commit(message) {
      await git('add', '-A')
      await git('commit', '-q', '--allow-empty', '-m', message)
      return (await git('rev-parse', 'HEAD')).output.trim()
    },
    async push(branch, ...options) {
      await clone.commit('change')
      const { code, output } = await git('push', ...options, 'slipway', `HEAD:refs/heads/${branch}`)
      return { code, output, results: machineLines(output) }
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  }
  return clone
}

/** The lines `slipway: key=value …` of a push's output. */
export function machineLines(output: string): Record<string, string>[] {
  return [...output.matchAll(/^(?:remote: )?slipway: (\S+=.*?)\s*$/gm)].map((match) =>
    Object.fromEntries((match[1] ?? '').split(' ').map((pair) => pair.split('=') as [string, string])),
  )
}

/** A small web app: busybox's httpd and one page. */
export function page(text: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    Dockerfile: 'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
    'www/index.html': `${text}\n`,
    'slipway.yml': 'drain: 2s\nstop: 1s\n',
    ...more,
  }
}
