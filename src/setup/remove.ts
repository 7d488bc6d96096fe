import { readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeDockerRuntime, makeEngine, removeImages } from '../adapters/docker/index.ts'
import { makeProxy } from '../adapters/haproxy/index.ts'
import { readSettings } from '../config.ts'
import { silentLogger } from '../kernel/logger.ts'
import { makeCluster } from '../postgres/cluster.ts'
import { lockDataDir } from './preflight.ts'
import { assertNoService } from './service/service.ts'
import { fail, say } from '../kernel/tell.ts'

/*
 * `npm run remove`: takes an installation off this machine: its containers, images, networks and firewall rules, its proxy
 * and database, and with --data its data folder too. What others made on the engine stays.
 */

async function remove(args: readonly string[], root: string): Promise<void> {
  const settings = readSettings()
  assertNoService(settings)
  const { dataDir, installation } = settings
  const lock = await lockDataDir(dataDir)
  const engine = makeEngine({ socketPath: settings.dockerSocket })
  const owner = await readFile(join(dataDir, 'owner'), 'utf8').catch(() => 'none')
  const ports = { publicPorts: [settings.httpPort] }
  const runtime = makeDockerRuntime({ ...settings, ...ports, owner: owner.trim(), engine, logger: silentLogger })
  if (!args.includes('--orphaned')) await runtime.assertOwn()
  await makeProxy({ ...settings, port: settings.httpPort, root, logger: silentLogger }).stop()
  say('The proxy is stopped')
  for (const { containerId } of await runtime.list()) {
    await runtime.stop(containerId, 0)
    await runtime.remove(containerId)
  }
  await removeImages(engine, installation)
  await runtime.tearDown()
  say(`Containers, images, networks and firewall rules of “${installation}” are removed`)
  if (settings.databaseUrl === null) await makeCluster({ dataDir, name: 'control', logger: silentLogger }).stop()
  lock.release()
  if (args.includes('--data')) await rm(dataDir, { recursive: true, force: true })
  say(args.includes('--data') ? `${dataDir} is removed` : `Repositories, database and keys are kept in ${dataDir}`)
}

remove(process.argv.slice(2), resolve(import.meta.dirname, '../..')).catch(fail)
