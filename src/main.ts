import { chown, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { makeAccounts } from './accounts/index.ts'
import { makeBuilder, makeDockerRuntime, makeEngine } from './adapters/docker/index.ts'
import { makeGitCli } from './adapters/git-cli/git-cli.ts'
import { GitHttp } from './adapters/git-http/git-http.ts'
import { makeProxy } from './adapters/haproxy/index.ts'
import { makeBuilds } from './builds/index.ts'
import type { Settings } from './config.ts'
import { makeDeployReads, makeDeploys } from './deploys/index.ts'
import { makeEnvironments } from './environments/index.ts'
import { makeGit } from './git/index.ts'
import { makeHttpApp } from './http/app.ts'
import { makeRunningReleases } from './http/running-releases.ts'
import { startHttpServer } from './http/server.ts'
import { systemClock } from './kernel/clock.ts'
import { SlipwayError } from './kernel/errors.ts'
import { type Logger, makeLogger } from './kernel/logger.ts'
import { makeMutex } from './kernel/mutex.ts'
import { makeRuntimeLogs } from './logs/index.ts'
import { makeCluster } from './postgres/cluster.ts'
import { makePool, migrate, type Pool } from './postgres/index.ts'
import { makeAddresses } from './routing/index.ts'
import { pushDemo } from './setup/demo.ts'
import { ensureSecrets } from './setup/secrets.ts'
import { untilStopped } from './setup/until-stopped.ts'
import { welcomeText } from './setup/welcome.ts'

/** How long open requests to Slipway itself may take to finish when it stops. */
const closeGraceMs = 2_000
const firewallEveryMs = 30_000

/**
 * The composition root: what Slipway stands on first (database, proxy, engine), then the modules, then the doors, then the work. Stops in
 * reverse. Proxy, database and instances go on without it. Resolves when Slipway has been told to stop and has.
 */
export async function run({
  settings,
  demo,
  root,
}: {
  settings: Settings
  demo: boolean
  root: string
}): Promise<void> {
  const begunMs = systemClock.monotonicMs()
  const stop = new AbortController()
  const inData = (...path: string[]): string => join(settings.dataDir, ...path)
  const logger = makeLogger({ level: settings.logLevel, file: inData('logs', 'slipway.log'), console: false })
  const secrets = await ensureSecrets(settings)

  // What Slipway stands on.
  const cluster =
    settings.databaseUrl === null ? makeCluster({ dataDir: settings.dataDir, name: 'control', logger }) : null
  const engine = makeEngine({ socketPath: settings.dockerSocket })
  const runtime = makeDockerRuntime({ ...settings, engine, publicPorts: [settings.httpPort], logger })
  const proxy = makeProxy({ ...settings, port: settings.httpPort, root, logger })
  const openDatabase = async () => {
    const connection =
      cluster === null ? { connectionString: settings.databaseUrl?.reveal() ?? '' } : await cluster.ensure()
    const pool = makePool(connection, { logger, size: 20 })
    await migrate(pool, join(root, 'sql', 'migrations'))
    await holdServer(pool, { logger, onTaken: () => stop.abort() })
    return pool
  }
  const [db, range] = await Promise.all([openDatabase(), runtime.prepare(), proxy.ensure()])

  // The modules.
  const accounts = makeAccounts({ db })
  const environments = makeEnvironments({ db })
  const addresses = makeAddresses(settings)
  const gitCli = makeGitCli({ ...settings, hooksDir: join(root, 'hooks') })
  const builds = makeBuilds({
    db,
    source: gitCli.source,
    builder: makeBuilder({
      engine,
      installation: settings.installation,
      network: runtime.networks.builds.name,
      logger,
    }),
    settings: buildSettings(settings),
  })
  const deploys = makeDeploys({
    db,
    builds,
    runtime,
    router: proxy.router,
    addresses,
    range,
    whileRoutesHold: makeMutex(),
    installation: settings.installation,
    installationKey: secrets.installationKey,
    clock: systemClock,
    logger,
  })
  const git = makeGit({
    db,
    environments,
    deploys,
    repositories: gitCli.repositories,
    socketPath: inData('run', 'hooks.sock'),
    log: logger,
  })

  // The doors.
  await accounts.setAdminToken(secrets.adminToken)
  const gitHttp = new GitHttp({
    git,
    spawnGit: gitCli.spawnGit,
    authenticate: accounts.authenticate,
    maxPushBytes: settings.maxPushBytes,
    log: logger,
  })
  const reads = makeDeployReads({ db })
  const controlUrl = addresses.url(settings.controlHost)
  const app = makeHttpApp({
    db,
    accounts,
    environments,
    deploys,
    reads,
    gitHandler: gitHttp.middleware,
    commits: {
      tipOf: gitCli.repositories.resolveBranch,
      resolveCommit: gitCli.repositories.resolveCommit,
    },
    running: makeRunningReleases({ reads, deploys, runtime }),
    runtimeLogs: makeRuntimeLogs({ deploys, runtime, clock: systemClock }),
    facts: {
      version: await readVersion(root),
      domain: settings.domain,
      urls: {
        control: controlUrl,
        git: (name) => `${controlUrl}/${name}.git`,
        environment: (label) => addresses.url(addresses.environmentHost(label)),
      },
    },
    readiness: [
      { name: 'database', check: async () => void (await db.query('select 1')) },
      { name: 'engine', check: async () => void (await engine.call('ping', (docker) => docker.ping())) },
      { name: 'proxy', check: async () => void (await proxy.router.read()) },
    ],
    logger,
    closing: stop.signal,
  })
  const server = await startHttpServer(app, { socketPath: inData('run', 'http.sock'), mode: 0o600 })
  if (proxy.owner !== null) await chown(inData('run', 'http.sock'), proxy.owner.uid, proxy.owner.gid)

  // The work.
  await git.start()
  const found = await deploys.start()
  logger.info('reconciled', { ...found })
  const reconcile = (): void => {
    deploys.reconcile().catch((error: unknown) => logger.error('reconciling failed', { error }))
  }
  void cluster?.watch(stop.signal)
  proxy.watch(stop.signal, reconcile)
  const firewall = setInterval(() => {
    runtime
      .ensureFirewall()
      .catch((error: unknown) => logger.error('the firewall could not be looked after', { error }))
  }, firewallEveryMs)
  await runtime.probeFirewall()

  const isFirst = (await environments.listApps()).length === 0
  const hasDemo =
    demo && isFirst && (await pushDemo({ root, remote: `${controlUrl}/hello.git`, token: secrets.adminToken }))
  process.stdout.write(
    welcomeText({
      root,
      dataDir: settings.dataDir,
      controlUrl,
      demoUrl: hasDemo ? addresses.url(addresses.environmentHost('test--hello')) : null,
      newToken: secrets.madeAdminToken || (isFirst && settings.adminToken === null) ? secrets.adminToken : null,
      startedInMs: systemClock.monotonicMs() - begunMs,
    }),
  )

  await untilStopped(stop.signal)
  stop.abort()
  clearInterval(firewall)
  await server.close(closeGraceMs)
  await git.stop()
  await gitHttp.stop()
  await deploys.stop()
  await db.close()
}

/** One server for each database, whatever its data folder. After the database restarted the place is taken again. */
async function holdServer(pool: Pool, options: { logger: Logger; onTaken: () => void }): Promise<void> {
  const onLost = (): void => void retake()
  const retake = async (): Promise<void> => {
    for (;;) {
      try {
        if (!(await pool.holdServerLock(onLost))) options.onTaken()
        return
      } catch (error) {
        options.logger.warn('the place of the server in the database is not held', { error })
        await systemClock.sleep(1000)
      }
    }
  }
  if (await pool.holdServerLock(onLost)) return
  throw new SlipwayError('conflict', 'Another Slipway works with this database.', {
    hint: 'Stop it first, or give this one another DATABASE_URL.',
  })
}

async function readVersion(root: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return version
}

function buildSettings({ build }: Settings) {
  const cores = availableParallelism()
  return {
    pull: build.pull,
    memoryBytes: build.memoryBytes,
    // Half a core is left for what serves.
    cpus: build.cpus ?? Math.max(0.5, cores - 0.5),
    slots: build.slots ?? Math.max(1, Math.floor(cores / 2)),
    timeoutMs: build.timeoutMs,
    platform: `${process.platform}/${process.arch}`,
  }
}
