import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { makeDockerRuntime, makeEngine } from '../adapters/docker/index.ts'
import { makeProxy } from '../adapters/haproxy/index.ts'
import type { Settings } from '../config.ts'
import type { Logger } from '../kernel/logger.ts'
import { makeCluster } from '../postgres/cluster.ts'
import { isDatabaseAway, makePool, migrate, type Pool } from '../postgres/index.ts'
import { openKeys, type SealingKeys } from '../vars/index.ts'
import { databaseNotReached, holdServer } from './hold-server.ts'
import type { InstallationSecrets } from './secrets.ts'
import { readOwnVersion } from './version.ts'

export type Ground = Awaited<ReturnType<typeof layGround>>

interface Given {
  readonly settings: Settings
  /** Slipway's own folder. */
  readonly root: string
  readonly logger: Logger
  /** Aborted when Slipway is to stop. */
  readonly stop: AbortController
  readonly secrets: InstallationSecrets
}

/**
 * What Slipway stands on: the engine with its networks and firewall; the database, and with it the right to be the one server
 * of this installation; the proxy.
 */
export async function layGround(given: Given) {
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
