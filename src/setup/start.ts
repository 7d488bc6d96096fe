import { flushCompileCache } from 'node:module'
import { join, resolve } from 'node:path'
import { planNetworks } from '../adapters/docker/network-plan.ts'
import { listOwnProcesses } from '../adapters/haproxy/launch.ts'
import { readSettings } from '../config.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { ensureEngine, inspectMachine } from './engine.ts'
import { probeEngine } from './engine-call.ts'
import { notifyReady } from './notify-systemd.ts'
import { ensurePackages } from './packages.ts'
import { assertMayFilter, assertNetworkFree, assertPortFree, lockDataDir, prepareDataDir } from './preflight.ts'
import { assertNoService } from './service/service.ts'
import { fail, say, tellError } from '../kernel/tell.ts'

/*
 * `npm start`: makes the machine ready, then runs the server in the foreground. What cannot be mended ends in one sentence,
 * before anything is made: settings and networks first, packages second, the data folder third.
 */

async function start(args: readonly string[], root: string): Promise<void> {
  const demo = !args.includes('--no-demo')
  const unknown = args.filter((arg) => arg !== '--no-demo')
  if (unknown.length > 0) {
    tellError(
      new SlipwayError('bad_request', `npm start does not know ${unknown.join(' ')}.`, {
        hint: 'npm start -- --no-demo leaves out the app hello; everything else is a setting (.env.example).',
      }),
    )
    process.exit(2)
  }
  const settings = readSettings()
  assertNoService(settings)
  const { bridgePrefix } = planNetworks(settings.installation, settings.network)
  assertNetworkFree(settings.network, (device) => device.startsWith(bridgePrefix))
  // The proxy of an earlier run holds the port rightly.
  if (settings.keptBy === null && (await listOwnProcesses(settings.dataDir)).length === 0)
    await assertPortFree(settings.bind, settings.httpPort)
  const engine = await probeEngine(settings.dockerSocket)
  const engineIsThere = engine.kind !== 'absent' || settings.dockerSocket !== inspectMachine().ownSocket
  await ensurePackages({ tests: false, demo, ownPostgres: settings.databaseUrl === null, engineIsThere }, { say, root })
  await prepareDataDir(settings.dataDir)
  // Held until this process ends, however it ends.
  await lockDataDir(settings.dataDir)
  const facts = await ensureEngine({
    socket: settings.dockerSocket,
    logFile: join(settings.dataDir, 'logs', 'engine.log'),
    say,
  })
  for (const warning of facts.warnings) say(`Warning: ${warning}`)
  assertMayFilter()
  const { run } = await import('../main.ts')
  // Kept now, so that also a server that is killed leaves the next start quicker.
  flushCompileCache()
  await run({ settings, demo, root, onReady: notifyReady })
  // What still listens to a build or a release command lets go of it; the next start finds it again.
  process.exit(0)
}

/** For the launcher: loads everything once, so that it is kept compiled, and runs nothing. */
async function compile(): Promise<void> {
  await import('../main.ts')
  flushCompileCache()
}

const args = process.argv.slice(2)
const isForLauncher = args[0] === '--compile'
await (isForLauncher ? compile() : start(args, resolve(import.meta.dirname, '../..'))).catch(fail)
