import { existsSync } from 'node:fs'
import { mkdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { lockFile } from '../kernel/file-lock.ts'
import type { Logger } from '../kernel/logger.ts'
import { keepLogSmall } from '../kernel/small-log.ts'
import * as files from './cluster-files.ts'
import { findPostmaster, serverArguments, signalProcess } from './cluster-process.ts'
import { ask, type ClusterConnection, startUntilReady } from './cluster-start.ts'

export type { ClusterConnection } from './cluster-start.ts'

/** A PostgreSQL server of our own: Debian's programs, data in the data folder, reachable through its Unix socket only. */
export interface Cluster {
  /**
   * Makes the cluster when there is none, starts it when it does not run, and resolves when it answers. Safe to repeat, also at
   * once from several processes. The server goes on when this process ends.
   */
  ensure(): Promise<ClusterConnection>
  /** Starts the server again whenever it dies, until the signal fires; resolves then. */
  watch(signal: AbortSignal): Promise<void>
  /** Ends the server, cutting open connections, and resolves when it is gone. Nothing happens when none runs. */
  stop(): Promise<void>
  /**
   * For whoever keeps the server (systemd, a container): makes the cluster when there is none, ends a server of it that runs
   * elsewhere, and tells what to run in the foreground, as whom.
   */
  foreground(): Promise<ForegroundServer>
}

export interface ForegroundServer {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** null: as who we are. */
  readonly owner: files.ClusterOwner | null
}

interface ClusterOptions {
  /** An absolute path without links below which `postgres/`, `run/` and `logs/` are made. */
  readonly dataDir: string
  readonly name: string
  readonly logger: Logger
  /** false: for tests; survives a crash of the server but not of the machine. */
  readonly durable?: boolean
  /** Where Debian's packages put the programs of each major version. */
  readonly programsRoot?: string
  /** How long a server may take until it says something. */
  readonly answerLimitMs?: number
  /** Who starts the server and brings it back, when that is not us: then it is waited for. */
  readonly keptBy?: string | null
}

// After kill -9 of the postmaster 1.7-1.9 s were measured until its last backend was gone.
const answerLimitMs = 10_000
/** How long another process may take to make or start the cluster; a recovery after a crash can be long. */
const othersLimitMs = 120_000
const othersAskEveryMs = 100
const stopLimitMs = 10_000
const watchEveryMs = 250
const largestLog = 10 * 1024 * 1024

export function makeCluster(options: ClusterOptions): Cluster {
  const named = files.clusterPaths(options.dataDir, options.name)
  const connection = { host: named.socketDir, port: 5432, user: 'slipway', database: 'slipway' }
  const keptBy = options.keptBy ?? null

  async function ensure(): Promise<ClusterConnection> {
    if ((await ask(connection)) === 'ready') return connection
    if (keptBy !== null) {
      await untilOthersStarted(connection, { keeper: keptBy, logger: options.logger })
      return connection
    }
    await mkdir(dirname(named.socketDir), { recursive: true, mode: 0o711 })
    const lock = await lockFile(`${named.socketDir}.lock`, { waitMs: othersLimitMs })
    if (lock === null) {
      throw new SlipwayError('unavailable', 'Another process has been starting the database for two minutes.')
    }
    try {
      await ensureLocked()
    } finally {
      lock.release()
    }
    return connection
  }

  async function ensureLocked(): Promise<void> {
    if ((await ask(connection)) === 'ready') return
    const { paths, how } = await prepareCluster(named, options)
    await keepLogSmall(paths.log, largestLog)
    await startUntilReady(paths, {
      ...how,
      connection,
      logger: options.logger,
      limitMs: options.answerLimitMs ?? answerLimitMs,
    })
  }

  async function foreground(): Promise<ForegroundServer> {
    await mkdir(dirname(named.socketDir), { recursive: true, mode: 0o711 })
    const lock = await lockFile(`${named.socketDir}.lock`, { waitMs: othersLimitMs })
    try {
      await stop()
      const { paths, how } = await prepareCluster(named, options)
      return {
        file: join(how.programs, 'postgres'),
        args: serverArguments(paths, how.durable),
        env: files.programEnvironment(),
        owner: process.getuid?.() === 0 ? how.owner : null,
      }
    } finally {
      lock?.release()
    }
  }

  async function watch(signal: AbortSignal): Promise<void> {
    if (keptBy !== null) return
    const paths = { ...named, data: join(await realpath(dirname(named.data)), options.name) }
    for (let beat = 0; !signal.aborted; beat++) {
      await delay(watchEveryMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      if (beat % 100 === 0) await keepLogSmall(paths.log, largestLog).catch(() => undefined)
      if (findPostmaster(paths) !== null) continue
      options.logger.warn('the database server is gone; starting it again')
      try {
        await ensure()
        options.logger.info('the database server answers again')
      } catch (error) {
        options.logger.error('the database server cannot be started', { error: asSlipwayError(error) })
        await delay(1000, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  async function stop(): Promise<void> {
    const folder = await realpath(named.data).catch(() => null)
    if (folder === null) return
    const pid = findPostmaster({ ...named, data: folder })
    if (pid === null) return
    signalProcess(pid, 'SIGINT')
    for (let waited = 0; findPostmaster({ ...named, data: folder }) === pid; waited += 20) {
      if (waited > stopLimitMs) throw new SlipwayError('timeout', `The database server (pid ${pid}) does not end.`)
      await delay(20)
    }
  }

  return { ensure, watch, stop, foreground }
}

/** Everything but the server itself. The caller holds the cluster's lock. */
async function prepareCluster(named: files.ClusterPaths, options: ClusterOptions) {
  const owner = await files.findOwner()
  await files.prepareFolders(named, owner)
  // The server's working folder is told without links; ours is compared to it.
  const paths = { ...named, data: join(await realpath(dirname(named.data)), options.name) }
  const programs = await files.findPrograms(paths, options.programsRoot ?? '/usr/lib/postgresql')
  const how = { programs, owner, durable: options.durable ?? true }
  if (!existsSync(paths.data)) {
    options.logger.info('making the database cluster', { folder: paths.data })
    await files.createCluster(paths, how)
  } else {
    await files.takeOver(paths, owner)
  }
  await files.writeAccessFiles(paths, owner)
  return { paths, how }
}

async function untilOthersStarted(
  connection: ClusterConnection,
  { keeper, logger }: { keeper: string; logger: Logger },
): Promise<void> {
  logger.info('waiting for the database server', { keeper })
  for (let waited = 0; waited < othersLimitMs; waited += othersAskEveryMs) {
    if ((await ask(connection)) === 'ready') return
    await delay(othersAskEveryMs)
  }
  throw new SlipwayError('unavailable', `The database server, which ${keeper} keeps, does not answer.`, {
    hint: keeper === 'systemd' ? 'Look at: systemctl status "slipway*"' : `Look at what ${keeper} says of it.`,
  })
}
