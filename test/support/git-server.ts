import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import express from 'express'
import { type Accounts, makeAccounts, newToken } from '../../src/accounts/index.ts'
import { type GitCli, makeGitCli } from '../../src/adapters/git-cli/git-cli.ts'
import { GitHttp } from '../../src/adapters/git-http/git-http.ts'
import { type Environments, makeEnvironments } from '../../src/environments/index.ts'
import { type Git, makeGit, type SpawnGit } from '../../src/git/index.ts'
import { type Logger, silentLogger } from '../../src/kernel/logger.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { createTestDatabase } from './database.ts'
import { type FakeDeploys, makeFakeDeploys } from './fake-deploys.ts'

const execute = promisify(execFile)
const hooksDir = resolve(__dirname, '../../hooks')

export interface GitServer {
  readonly url: string
  readonly port: number
  readonly token: string
  readonly dataDir: string
  readonly db: Pool
  readonly accounts: Accounts
  readonly environments: Environments
  readonly deploys: FakeDeploys
  /** What the server logged as errors: empty unless the test makes something fail inside. */
  readonly failures: unknown[]
  readonly cli: GitCli
  readonly git: Git
  /** The address of an app with the token in it, for a test's own clone only. */
  remote(app: string): string
  /** The same as a restart of the server. */
  restartGit(): Promise<void>
  close(): Promise<void>
}

export interface GitServerOptions {
  readonly maxPushBytes?: number
  readonly idleMs?: number
  readonly gitIdleMs?: number
  /** What the transport starts instead of git. */
  readonly replaceGit?: (real: SpawnGit) => SpawnGit
  readonly childMemoryBytes?: number
  readonly assertRoom?: (bytes: number) => Promise<void>
}

let count = 0

/** Git over HTTP with everything real but the deploys. */
export async function startGitServer(options: GitServerOptions = {}): Promise<GitServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'slipway-git-'))
  const database = await createTestDatabase()
  const db = makePool(database.connection, { logger: silentLogger, size: 8 })
  const accounts = makeAccounts({ db })
  const environments = makeEnvironments({ db })
  const deploys = makeFakeDeploys()
  const token = newToken()
  await accounts.setAdminToken(token)
  const maxPushBytes = options.maxPushBytes ?? 300 * 1024 * 1024
  const installation = `t${process.pid}-${++count}`
  const cli = makeGitCli({ ...options, dataDir, installation, hooksDir, maxPushBytes })
  const failures: unknown[] = []
  const silent = (): void => undefined
  const error: Logger['error'] = (message, fields) => void failures.push({ message, ...fields })
  const logger: Logger = { error, warn: silent, info: silent, debug: silent, child: () => logger }
  const build = (): Git => makeGit({ db, environments, deploys, repositories: cli.repositories, logger })
  const server: { git: Git; http: GitHttp } = { git: build(), http: null as never }
  await server.git.start()
  // Whatever serves now: a test may restart it.
  const proxy: Git = {
    openFetch: (...args) => server.git.openFetch(...args),
    openAdvertisement: (...args) => server.git.openAdvertisement(...args),
    openPush: (...args) => server.git.openPush(...args),
    setDefaultBranch: (...args) => server.git.setDefaultBranch(...args),
    start: () => server.git.start(),
    tidy: (...args) => server.git.tidy(...args),
    forgetDeploys: (...args) => server.git.forgetDeploys(...args),
    removeRepository: (...args) => server.git.removeRepository(...args),
    stop: () => server.git.stop(),
  }
  server.http = new GitHttp({
    ...options,
    git: proxy,
    spawnGit: options.replaceGit?.(cli.spawnGit) ?? cli.spawnGit,
    authenticate: (given) => accounts.authenticate(given),
    maxPushBytes,
    logger,
  })
  const app = express()
  app.use(server.http.middleware)
  app.use(express.json())
  app.get('/api/ping', (_, res) => void res.json({ ok: true }))
  const http = createServer(app)
  http.requestTimeout = 0
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
  const { port } = http.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    token: token.reveal(),
    dataDir,
    db,
    accounts,
    environments,
    deploys,
    failures,
    cli,
    get git() {
      return server.git
    },
    remote: (name) => `http://x:${token.reveal()}@127.0.0.1:${port}/${name}.git`,
    async restartGit() {
      server.git.stop()
      server.git = build()
      await server.git.start()
    },
    async close() {
      await closeHttp(http)
      server.git.stop()
      await server.http.stop()
      await db.close()
      await database.drop()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

async function closeHttp(http: Server): Promise<void> {
  http.closeAllConnections()
  await new Promise((done) => http.close(done))
}

export interface Clone {
  readonly path: string
  git(...args: string[]): Promise<{ code: number; output: string }>
  /** Writes a file and commits it. */
  commit(file: string, content: string | Buffer, message?: string): Promise<string>
  remove(): void
}

/** A working tree with a repository in it, as a person has one. */
export async function makeClone(remote?: string): Promise<Clone> {
  const path = mkdtempSync(join(tmpdir(), 'slipway-clone-'))
  const env = {
    PATH: process.env['PATH'],
    HOME: path,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C.UTF-8',
    GIT_AUTHOR_NAME: 'Ada',
    GIT_AUTHOR_EMAIL: 'ada@example.org',
    GIT_COMMITTER_NAME: 'Ada',
    GIT_COMMITTER_EMAIL: 'ada@example.org',
  }
  const work = join(path, 'work')
  const git = async (...args: string[]): Promise<{ code: number; output: string }> => {
    try {
      const { stdout, stderr } = await execute('git', args, { cwd: work, env, maxBuffer: 64 * 1024 * 1024 })
      return { code: 0, output: stdout + stderr }
    } catch (error) {
      const failed = error as { code?: number; stdout: string; stderr: string }
      return { code: failed.code ?? -1, output: failed.stdout + failed.stderr }
    }
  }
  mkdirSync(work)
  await git('init', '-q', '-b', 'main')
  if (remote !== undefined) await git('remote', 'add', 'divio', remote)
  return {
    path: work,
    git,
    async commit(file, content, message = file) {
      mkdirSync(resolve(work, file, '..'), { recursive: true })
      writeFileSync(join(work, file), content)
      await git('add', '-A', '-f')
      await git('commit', '-q', '-m', message)
      return (await git('rev-parse', 'HEAD')).output.trim()
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  }
}

/** Waits for what ends by itself shortly after an answer; fails with what is still there. */
export async function eventually<T>(read: () => T | Promise<T>, isRight: (value: T) => boolean): Promise<T> {
  const until = Date.now() + 30_000
  for (;;) {
    const value = await read()
    if (isRight(value)) return value
    if (Date.now() > until) throw new Error(`still: ${JSON.stringify(value)}`)
    await new Promise((done) => setTimeout(done, 20))
  }
}

/** No child, no temporary object, no lock, no push without an end, no repository of an app that was not made. */
export async function expectNothingLeft(server: GitServer): Promise<void> {
  await eventually(
    async () => [...processesIn(server.dataDir), ...leftFiles(server.dataDir), ...(await unfinished(server))],
    (left) => left.length === 0,
  )
}

async function unfinished({ db, dataDir }: GitServer): Promise<string[]> {
  const pushes = await db.query<{ id: number }>(`select id from pushes where state in ('receiving', 'strict')`)
  const apps = new Set((await db.query<{ name: string }>('select name from apps')).map(({ name }) => `${name}.git`))
  const repositories = readdirSync(join(dataDir, 'repositories')).filter(
    (name) => name !== '.empty.git' && !apps.has(name),
  )
  return [...pushes.map(({ id }) => `push ${id}`), ...repositories]
}

function leftFiles(dataDir: string): string[] {
  try {
    return readdirSync(join(dataDir, 'repositories'), { recursive: true })
      .map(String)
      .filter((path) => /(?:^|\/)(?:tmp_|incoming-|\.tmp-|\.new-)|\.lock$|\/packed-refs\.new$/.test(path))
  } catch (error) {
    // A folder went while it was read.
    return [String(error)]
  }
}

/** Processes that work in the folder or name it. */
export function processesIn(folder: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      const cwd = readlinkSync(`/proc/${pid}/cwd`)
      return command.includes(folder) || cwd.startsWith(folder) ? [`${pid} ${command}`] : []
    } catch {
      return []
    }
  })
}
