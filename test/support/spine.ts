import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import {
  type AppConfig,
  type Build,
  type BuildPlan,
  type Builds,
  type DiskRoom,
  makeBuilds,
  type Source,
} from '../../src/builds/index.ts'
import { type DeployKind, type DeployRequest, type Deploys, makeDeploys, type Tools } from '../../src/deploys/index.ts'
import { type Environment, makeEnvironments } from '../../src/environments/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeMutex } from '../../src/kernel/mutex.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { makePool, type Pool } from '../../src/postgres/index.ts'
import { makeAddresses } from '../../src/routing/index.ts'
import type { MemoryRoom } from '../../src/runtime/index.ts'
import {
  type Freshness,
  makeFreshness,
  makeMasks,
  makeReleaseVariables,
  makeRevocation,
  makeSecretsSource,
  makeVars,
  openKeys,
  type Revocation,
  type SealingKeys,
  type Vars,
} from '../../src/vars/index.ts'
import { createTestDatabase } from './database.ts'
import { type FakeBuilder, makeFakeBuilder } from './fake-builder.ts'
import { type FakeRuntime, makeFakeRuntime } from './fake-runtime.ts'
import { type FakeRouter, makeFakeRouter } from './fake-router.ts'
import { heldPlace } from './held-place.ts'

/**
 * The real queue, plan, runner and log on a real database, the real builds, and around them an engine and a proxy in
 * memory; what a build does is the test's to say. What answers on the instance's port is a small server of this process on loopback.
 */
export interface Spine {
  readonly db: Pool
  readonly deploys: Deploys
  readonly runtime: FakeRuntime
  readonly router: FakeRouter
  readonly builder: FakeBuilder
  /** What another server would make builds with, on the same engine. */
  newBuilds(): Builds
  readonly tools: Tools
  readonly vars: Vars
  readonly revocation: Revocation
  readonly keys: SealingKeys
  readonly freshness: Freshness
  /** What the next builds do; resolves when they are done. */
  onBuild: (build: Build, signal: AbortSignal) => Promise<void>
  config: AppConfig
  /** With what status instances answer. */
  answer: number
  environment(name: 'test' | 'live'): Promise<Environment>
  push(environment: 'test' | 'live', commit: string): Promise<number>
  deploy(environment: 'test' | 'live', commit: string): Promise<number>
  /** Any other kind. */
  request(
    kind: DeployKind,
    environment: 'test' | 'live',
    commit: string,
    more?: Partial<DeployRequest>,
  ): Promise<number>
  log(deployId: number): Promise<string[]>
  /** A second server on the same database and machine, as after a restart. */
  restart(): Promise<void>
  /** The same without ending the one before: whoever calls it has cut that off from everything. */
  succeed(wrap?: (tools: Tools) => Tools): Promise<void>
  close(): Promise<void>
}

export const spineKey = new Secret('spine-test-installation-key-000000')
export const commitOf = (letter: string): string => letter.repeat(40)

export interface SpineOptions {
  readonly buildSlots?: number
  readonly disk?: DiskRoom
  readonly memory?: MemoryRoom
  readonly onLive?: Tools['onLive']
  readonly releaseIdleMs?: number
}

export async function makeSpine(options: SpineOptions = {}): Promise<Spine> {
  const database = await createTestDatabase()
  const site = await listen(() => spine.answer)
  const port = (site.address() as AddressInfo).port
  const db = makePool(database.connection, { logger: silentLogger, size: 10 })
  const environments = makeEnvironments({ db })
  const keys = await openKeys(db, spineKey)
  const app = await environments.createApp('shop')
  const masks = makeMasks(makeSecretsSource({ db, keys }))
  const freshness = makeFreshness()
  const runtime = makeFakeRuntime('spine')
  const router = makeFakeRouter()
  const builder = makeFakeBuilder(async (buildId, { onLine, signal }) => {
    const build = await tools.builds.get(buildId)
    onLine(`building ${build.commit.slice(0, 4)}`)
    await spine.onBuild(build, signal)
  })
  const tools: Tools = {
    db,
    runtime,
    router,
    builds: newBuilds(),
    variables: makeReleaseVariables({ db, keys, masks, freshness }),
    masks,
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...(options.onLive === undefined ? {} : { onLive: options.onLive }),
    ...(options.releaseIdleMs === undefined ? {} : { releaseIdleMs: options.releaseIdleMs }),
    addresses: makeAddresses({ domain: 'localhost', httpPort: 8080 }),
    // The instances “listen” where the test's server does.
    range: { subnet: '127.0.0.0/24', reserved: ['127.0.0.1'] },
    place: heldPlace,
    whileRoutesHold: makeMutex(),
    installation: 'spine',
    installationKey: keys.derivation,
    clock: systemClock,
    logger: silentLogger,
  }
  let deploys = makeDeploys(tools)
  await deploys.start()

  const request: Spine['request'] = async (kind, name, commit, more = {}) => {
    const { id } = await environments.get(app.name, name)
    const queued = await db.transaction((tx) =>
      deploys.request(tx, {
        environmentId: id,
        kind,
        branch: 'main',
        commit,
        requestedBy: 'ada',
        pushId: null,
        ...more,
      }),
    )
    deploys.wake()
    return queued.deployId
  }

  const spine: Spine = {
    db,
    get deploys() {
      return deploys
    },
    runtime,
    router,
    builder,
    newBuilds,
    tools,
    vars: makeVars({ db, keys, masks }),
    keys,
    freshness,
    revocation: makeRevocation({
      ...{ db, keys, masks, freshness },
      endBegun: (tx, begun) => deploys.endBegun(tx, begun),
      afterTaken: (releaseIds) => deploys.afterTaken(releaseIds),
    }),
    onBuild: async () => undefined,
    config: defaultConfig(port),
    answer: 200,
    environment: (name) => environments.get(app.name, name),
    push: (name, commit) => request('push', name, commit),
    deploy: (name, commit) => request('deploy', name, commit),
    request,
    async log(deployId) {
      const lines: string[] = []
      for await (const line of deploys.follow(deployId, { after: 0, signal: AbortSignal.timeout(20_000) })) {
        lines.push(`${line.kind}: ${line.text}`)
      }
      return lines
    },
    async restart() {
      await deploys.stop()
      deploys = makeDeploys({ ...tools, builds: newBuilds(), whileRoutesHold: makeMutex() })
      await deploys.start()
    },
    async succeed(wrap = (given) => given) {
      deploys = makeDeploys(wrap({ ...tools, builds: newBuilds(), whileRoutesHold: makeMutex() }))
      await deploys.start()
    },
    async close() {
      await deploys.stop()
      await db.close()
      await database.drop()
      await new Promise((resolve) => site.close(resolve))
    },
  }
  return spine

  /** As a server makes them: what they know of each other is lost with it. */
  function newBuilds(): Builds {
    const source = { archive: () => Readable.from([]) } as unknown as Source
    const real = makeBuilds({
      db,
      source,
      builder,
      ...(options.disk === undefined ? {} : { disk: options.disk }),
      settings: {
        ...{ pull: 'missing', platform: 'linux/x64', slots: options.buildSlots ?? 4 },
        ...{ memoryBytes: 128 * 1024 ** 2, cpus: 1, timeoutMs: 60_000 },
      },
    })
    const plan = (): BuildPlan => ({ config: spine.config, dockerfileText: 'FROM scratch', ignore: '', warnings: [] })
    return { ...real, readPlan: async () => plan() }
  }
}

function listen(status: () => number): Promise<Server> {
  const server = createServer((_req, res) => res.writeHead(status()).end('ok'))
  return new Promise((resolve) => server.listen(0, '0.0.0.0', () => resolve(server)))
}

function defaultConfig(port: number): AppConfig {
  return {
    build: { dockerfile: 'Dockerfile', context: '.', target: null, args: {}, builder: 'auto' },
    port,
    health: { path: null, status: { from: 200, to: 399 }, intervalMs: 50, timeoutMs: 1000, deadlineMs: 3000 },
    selfTests: [],
    releaseCommands: [],
    drainMs: 200,
    stopMs: 100,
    resources: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
  }
}
