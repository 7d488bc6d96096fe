import { existsSync } from 'node:fs'
import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import { makeAccounts } from './accounts/index.ts'
import { makeActivity } from './activity/index.ts'
import { makeBuilder, makeDockerRuntime, makeEngine, readUse } from './adapters/docker/index.ts'
import { makeGitCli } from './adapters/git-cli/git-cli.ts'
import { GitHttp } from './adapters/git-http/git-http.ts'
import { makeProxy } from './adapters/haproxy/index.ts'
import { makeBuilds } from './builds/index.ts'
import { makeCron } from './cron/index.ts'
import type { Settings } from './config.ts'
import { makeDeployReads, makeDeploys, makeProcesses } from './deploys/index.ts'
import { makeEnvironments } from './environments/index.ts'
import { makeGit } from './git/index.ts'
import { makeRemovals } from './removals/index.ts'
import { makeHttpApp } from './http/app.ts'
import { makeRunningReleases } from './http/running-releases.ts'
import { makeAttachments } from './http/attachments.ts'
import { startHttpServer } from './http/server.ts'
import { systemClock } from './kernel/clock.ts'
import { armFaultPoint } from './kernel/fault-point.ts'
import { type Logger, makeLogger } from './kernel/logger.ts'
import { makeMutex } from './kernel/mutex.ts'
import { makeSlots } from './kernel/slots.ts'
import { makeLogs } from './logs/index.ts'
import { makeCluster } from './postgres/cluster.ts'
import { isDatabaseAway, makePool, migrate, type Pool } from './postgres/index.ts'
import { copyProtection, makeProtection } from './protection/index.ts'
import { makeRuns } from './runs/index.ts'
import { makeStatuses } from './status/index.ts'
import { makeAddresses, passwordHash } from './routing/index.ts'
import { examine } from './doctor/index.ts'
import { buildSettings } from './server/build-settings.ts'
import { pushHello } from './server/demo.ts'
import { makeDoctorChecks } from './server/doctor-checks.ts'
import { databaseNotReached, holdServer } from './server/hold-server.ts'
import { ensureSecrets, type InstallationSecrets } from './server/secrets.ts'
import { makeNights, makeUpkeep } from './server/upkeep.ts'
import { untilStopped } from './server/until-stopped.ts'
import { readOwnVersion } from './server/version.ts'
import { farewellText, welcomeText } from './server/welcome.ts'
import {
  makeKeyRotation,
  makeMasks,
  makeReleaseVariables,
  makeSecretsSource,
  makeVars,
  openKeys,
  type SealingKeys,
} from './vars/index.ts'

/** How long open requests to Slipway itself may take to finish when it stops. */
const closeGraceMs = 2_000
const firewallEveryMs = 30_000
/** What is refused in good time has a floor of its own; below this not even an engine’s answer can be written. */
const leastFreeBytes = 64 * 1024 ** 2

/**
 * The composition root: what Slipway stands on first (database, proxy, engine), then the modules, then the doors, then the
 * work. Stops in reverse. Proxy, database and instances go on without it. Resolves when Slipway has been told to stop and
 * has.
 */
export async function run({ settings, demo, root, onReady }: Start): Promise<void> {
  const begunMs = systemClock.monotonicMs()
  armFaultPoint(settings.faultPoint)
  const stop = new AbortController()
  const logger = makeLogger({
    level: settings.logLevel,
    file: join(settings.dataDir, 'logs', 'slipway.log'),
    console: false,
  })
  const secrets = await ensureSecrets(settings)
  const ground = await layGround({ settings, root, logger, stop, secrets })
  const modules = makeModules(ground)
  const doors = await openDoors(ground, modules, secrets)
  await startWork(ground, modules)
  const nights = modules.nightly.watch(stop.signal)

  logger.info('Slipway has started', { pid: process.pid })
  const controlUrl = modules.addresses.url(settings.controlHost)
  const isFirst = (await modules.environments.listApps()).length === 0
  // What a keeper's journal holds is read by more people than a console.
  const showToken = settings.keptBy === null && (secrets.madeAdminToken || (isFirst && settings.adminToken === null))
  const demoUrl = demo && isFirst ? await pushDemo(`${controlUrl}/hello.git`, { root, modules, secrets }) : null
  process.stdout.write(
    welcomeText({
      root,
      dataDir: settings.dataDir,
      controlUrl,
      demoUrl,
      newToken: showToken ? secrets.adminToken : null,
      startedInMs: systemClock.monotonicMs() - begunMs,
    }),
  )

  onReady()
  await untilStopped(stop.signal)
  logger.info('Slipway stops')
  stop.abort()
  // What people run ends first, and they are told.
  await Promise.all([modules.runs.stop(), doors.close()])
  await modules.removals.stop()
  await modules.cron.stop()
  await modules.deploys.stop()
  await Promise.race([nights, systemClock.sleep(closeGraceMs)])
  await modules.logs.close()
  // A database that hangs does not keep Slipway from ending.
  await Promise.race([ground.db.close(), systemClock.sleep(closeGraceMs)])
  process.stdout.write(farewellText)
}

type Demo = { readonly root: string; readonly modules: Modules; readonly secrets: InstallationSecrets }

/** The first app, by a real push. Null when it did not go live: git or the deploy has said why, and Slipway runs all the same. */
async function pushDemo(remote: string, { root, modules, secrets }: Demo): Promise<string | null> {
  const { environments, deploys, addresses } = modules
  if (!(await pushHello({ root, remote, token: secrets.adminToken }))) return null
  const { id, label } = await environments.get('hello', 'test')
  const [newest] = await deploys.list(id, { limit: 1 })
  return newest?.state === 'live' ? addresses.url(addresses.environmentHost(label)) : null
}

interface Start {
  readonly settings: Settings
  readonly demo: boolean
  /** Slipway's own folder. */
  readonly root: string
  readonly onReady: () => void
}

type Ground = Awaited<ReturnType<typeof layGround>>
type Modules = ReturnType<typeof makeModules>

/**
 * What Slipway stands on: the engine with its networks and firewall; the database, and with it the right to be the one server
 * of this installation; the proxy.
 */
async function layGround(given: {
  settings: Settings
  root: string
  logger: Logger
  stop: AbortController
  secrets: InstallationSecrets
}) {
  const { settings, root, logger, stop, secrets } = given
  const { owner } = secrets
  const cluster = settings.databaseUrl === null ? makeCluster({ ...settings, name: 'control', logger }) : null
  const engine = makeEngine({ socketPath: settings.dockerSocket })
  const runtime = makeDockerRuntime({ ...settings, owner, engine, publicPorts: [settings.httpPort], logger })
  const proxy = makeProxy({ ...settings, port: settings.httpPort, root, logger })
  const openDatabase = async (): Promise<{ db: Pool; keys: SealingKeys }> => {
    const own = await cluster?.ensure()
    const connection = own ?? { connectionString: settings.databaseUrl?.reveal() ?? '' }
    const pool = makePool(connection, { logger, size: 20 })
    // The place first: an older Slipway that still runs must not find another schema under it.
    await holdServer(pool, { logger, onTaken: () => stop.abort() }).catch((error: unknown) => {
      throw own === undefined && isDatabaseAway(error) ? databaseNotReached(error) : error
    })
    await migrate(connection, { folder: join(root, 'sql', 'migrations'), version: await readOwnVersion(root), logger })
    // With the wrong key nothing else is begun.
    const keys = await openKeys(pool, secrets.installationKey).catch(async (error: unknown) => {
      await secrets.takeBackNewKey()
      throw error
    })
    return { db: pool, keys }
  }
  const hasRun = existsSync(join(settings.dataDir, 'proxy', 'haproxy.cfg'))
  // The operator's own database may be away, or another server's: then nothing is made.
  const early = hasRun || cluster !== null ? null : await openDatabase()
  // The engine before what is started: it may hold another data folder's sites, and then nothing of ours is.
  const range = await runtime.prepare()
  // An installation that has run before may have sites to serve, whatever the database says: its map files are enough.
  if (hasRun) await proxy.ensure()
  const { db, keys } = early ?? (await openDatabase())
  await proxy.ensure()
  return { ...given, cluster, engine, runtime, proxy, db, keys, range }
}

function makeModules(ground: Ground) {
  const { settings, root, logger, db, keys, engine, runtime, proxy, range, stop } = ground
  const { keepInstallationKey: keepSecretKey } = ground.secrets
  const { installation } = settings
  const addresses = makeAddresses(settings)
  const isReserved = (label: string): boolean => addresses.environmentHost(label) === settings.controlHost
  const masks = makeMasks(makeSecretsSource({ db, keys }))
  const vars = makeVars({ db, keys, masks })
  const rotation = makeKeyRotation({ db, keys, keepSecretKey, logger, closing: stop.signal })
  const environments = makeEnvironments({ db, copyVariables: vars.copyVariables, copyProtection, isReserved })
  const gitCli = makeGitCli({ ...settings, hooksDir: join(root, 'hooks') })
  const network = runtime.networks.builds.name
  const builder = makeBuilder({ engine, installation, network, minFreeBytes: leastFreeBytes, logger })
  const { disk, memory, images, retention } = makeUpkeep({ settings, db, engine, logger }, builder)
  const builds = makeBuilds({ db, source: gitCli.source, builder, settings: buildSettings(settings), disk })
  const logs = makeLogs({
    db,
    masks,
    runtime,
    requests: proxy.requests,
    folder: join(settings.dataDir, 'logs', 'environments'),
    limits: settings.logs,
    clock: systemClock,
    logger,
  })
  const runs = makeRuns({
    ...{ db, runtime, limits: settings.runs, logger },
    readOneOff: (environmentId, runId) => deploys.oneOff(environmentId, runId),
  })
  const deploys = makeDeploys({
    db,
    place: db,
    builds,
    variables: makeReleaseVariables({ db, keys, masks }),
    masks,
    runtime: logs.runtime,
    memory,
    runs,
    router: proxy.router,
    addresses,
    range,
    onLive: (tx, live) => cron.replaceJobs(tx, live),
    whileRoutesHold: makeMutex(),
    installation,
    installationKey: keys.derivation,
    clock: systemClock,
    logger,
  })
  const protection = makeProtection({
    db,
    hash: async (credentials) => passwordHash(await proxy.passwordKey(), credentials),
    apply: (environmentId) => deploys.applyExposure(environmentId),
  })
  const cron = makeCron({
    ...{ db, place: db, deploys, runtime: logs.runtime, memory, clock: systemClock, logger },
    masks,
    slots: makeSlots(settings.cronSlots),
    note: (at, text) => logs.note(at, text),
  })
  const { repositories } = gitCli
  const git = makeGit({ db, environments, deploys, repositories, logger })
  const removals = makeRemovals({
    ...{ db, environments, deploys, images, builder, git, clock: systemClock, logger },
    endJobs: (id, signal) => cron.end(id, signal),
    removeLogs: (environment) => logs.journals.remove(environment),
  })
  const nightly = makeNights({ settings, db, engine, logger }, { retention, git, environments })
  const statuses = makeStatuses({ db, commits: repositories, logger })
  const accounts = makeAccounts({ db })
  return {
    accounts,
    environments,
    vars,
    rotation,
    protection,
    addresses,
    gitCli,
    builds,
    cron,
    deploys,
    git,
    statuses,
    logs,
    disk,
    nightly,
    removals,
    runs,
  }
}

/** Slipway's own HTTP server, behind the proxy: API, Git, health. */
async function openDoors(ground: Ground, modules: Modules, secrets: InstallationSecrets) {
  const { settings, root, logger, db, engine, runtime, proxy, stop } = ground
  const { accounts, environments, vars, protection, addresses, deploys, disk, git, gitCli, statuses } = modules
  await accounts.setAdminToken(secrets.adminToken)
  const gitHttp = new GitHttp({
    git,
    spawnGit: gitCli.spawnGit,
    authenticate: accounts.authenticate,
    maxPushBytes: settings.maxPushBytes,
    assertRoom: (bytes) => disk.assertForPush(bytes),
    logger,
  })
  const reads = makeDeployReads({ db })
  const controlUrl = addresses.url(settings.controlHost)
  const { repositories } = gitCli
  const app = makeHttpApp({
    db,
    accounts,
    environments,
    vars,
    cron: modules.cron,
    rotation: modules.rotation,
    protection,
    deploys,
    processes: makeProcesses({ db, deploys }),
    reads,
    activity: makeActivity({ db }),
    statuses,
    gitHandler: gitHttp.middleware,
    removals: modules.removals,
    runs: modules.runs,
    setDefaultBranch: (name, branch, by) => git.setDefaultBranch(name, branch, by),
    commits: { ...repositories, tipOf: repositories.resolveBranch },
    running: makeRunningReleases({ reads, deploys, runtime, readUse: (id) => readUse(engine, id) }),
    runtimeLogs: modules.logs,
    facts: {
      version: await readOwnVersion(root),
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
    examine: () => examine(makeDoctorChecks({ settings, engine, server: { db, router: proxy.router, runtime } })),
    logger,
    closing: stop.signal,
  })
  // Pushes find their hooks' listener, and what a crash left of earlier ones is finished, before any is let in.
  await git.start()
  const socketPath = join(settings.dataDir, 'run', 'http.sock')
  const attachments = makeAttachments({ accounts, runs: modules.runs, logger })
  const server = await startHttpServer(app, { socketPath, mode: 0o600 }, attachments)
  if (proxy.owner !== null) await chown(socketPath, proxy.owner.uid, proxy.owner.gid)
  return {
    async close() {
      // Hooks first: they tell their pushers that the deploy goes on, while the connection still stands.
      git.stop()
      await server.close(closeGraceMs)
      await gitHttp.stop()
    },
  }
}

/** Deploys go on, and everything that Slipway stands on is watched from now on. */
async function startWork(
  { cluster, proxy, runtime, logger, stop }: Ground,
  { cron, deploys, logs, removals, rotation, statuses }: Modules,
): Promise<void> {
  logs.start(stop.signal)
  const { routes, started, removed } = await deploys.start()
  logger.info('reconciled', { routes, started, removed })
  await removals.start()
  rotation.run(stop.signal).catch((error: unknown) => logger.error('variables are not all sealed anew yet', { error }))
  cron.start()
  const reconcile = (): void => {
    deploys.reconcile().catch((error: unknown) => logger.error('reconciling failed', { error }))
  }
  void statuses.keep({ signal: stop.signal, sleep: (ms, signal) => systemClock.sleep(ms, signal) })
  void cluster?.watch(stop.signal)
  proxy.watch(stop.signal, reconcile)
  const lookAfterFirewall = (): void => {
    runtime.ensureFirewall().catch((error: unknown) => logger.error('the firewall could not be kept', { error }))
  }
  const firewall = setInterval(lookAfterFirewall, firewallEveryMs)
  stop.signal.addEventListener('abort', () => clearInterval(firewall), { once: true })
  await runtime.probeFirewall()
}
