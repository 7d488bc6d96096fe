import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeProxy } from '../../adapters/haproxy/index.ts'
import { readSettings, type Settings } from '../../config.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { lockFile, readLockHolder } from '../../kernel/file-lock.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { writeWholeFile } from '../../kernel/whole-file.ts'
import { findMissingPackages } from '../packages.ts'
import { prepareDataDir } from '../preflight.ts'
import { makeSystemd, type Systemd, type UnitState } from './systemctl.ts'
import { pickSettings, renderSettings, renderUnits, settingsFile, unitNames } from './units.ts'

/*
 * `slipway service`: Slipway, its proxy and its database as units of systemd, so that they come back after a reboot and none
 * ends with another. What runs already is taken over: the proxy hands its sockets on and finishes what it has.
 */

export interface ServiceOptions {
  /** Slipway's own folder. */
  readonly root: string
  readonly say: (line: string) => void
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly systemd?: Systemd
}

/** A server in the foreground gives its deploys back and ends; more than its own time for that. */
const endMs = 40_000

export async function installService(options: ServiceOptions & { readonly start: boolean }): Promise<void> {
  const { root, say, env = process.env } = options
  const systemd = options.systemd ?? makeSystemd()
  assertRoot()
  const settings = readSettings(env)
  await assertPackages(settings)
  await prepareDataDir(settings.dataDir)
  // The data folder is written out: what root's is must not depend on who asks.
  const kept = { ...pickSettings(env), SLIPWAY_DATA: settings.dataDir, SLIPWAY_INSTALLATION: settings.installation }
  await writeWholeFile(settingsFile(settings.dataDir), renderSettings(kept), 0o600)
  say(`The settings are kept in ${settingsFile(settings.dataDir)}: ${Object.keys(kept).join(', ')}`)
  const facts = { ...settings, root, node: process.execPath, ownPostgres: settings.databaseUrl === null }
  const units = renderUnits(facts)
  await mkdir(systemd.folder, { recursive: true })
  for (const { name, text } of units) await writeWholeFile(join(systemd.folder, name), text, 0o644)
  await systemd.reload()
  await systemd.enable(units.map(({ name }) => name))
  say(`Installed ${units.map(({ name }) => name).join(', ')}: they start with the machine`)
  if (!options.start) return
  await endForegroundServer(settings, { systemd, say })
  const { slipway, firewall } = unitNames(settings.installation)
  // Slipway itself sets the rules now; that unit has its time before the engine's next start.
  for (const { name } of units.filter((unit) => unit.name !== firewall)) {
    say(`Starting ${name} …`)
    await (name === slipway ? systemd.restart(name) : systemd.start(name))
  }
}

/** Takes the units away. Sites go on serving: the proxy is handed on to a process of its own. */
export async function uninstallService(options: ServiceOptions): Promise<void> {
  const { root, say, env = process.env } = options
  const systemd = options.systemd ?? makeSystemd()
  assertRoot()
  const settings = readSettings(env)
  const names = unitNames(settings.installation)
  const installed = Object.values(names).filter((name) => existsSync(join(systemd.folder, name)))
  if (installed.length === 0) {
    throw new SlipwayError('not_found', `There is no service of the installation “${settings.installation}”.`, {
      hint: 'Another one is named with SLIPWAY_INSTALLATION.',
    })
  }
  if (installed.includes(names.slipway)) await systemd.stop(names.slipway)
  if (installed.includes(names.proxy)) {
    await makeProxy({ ...settings, keptBy: null, port: settings.httpPort, root, logger: silentLogger }).detach()
    await systemd.stop(names.proxy)
  }
  for (const name of [names.postgres, names.firewall]) if (installed.includes(name)) await systemd.stop(name)
  await systemd.disable(installed)
  for (const name of installed) await rm(join(systemd.folder, name))
  await rm(settingsFile(settings.dataDir), { force: true })
  await systemd.reload()
  say(`Removed ${installed.join(', ')}. Sites go on serving until the machine restarts; npm start runs Slipway again`)
}

export async function listUnits(options: Omit<ServiceOptions, 'root' | 'say'>): Promise<UnitState[]> {
  const systemd = options.systemd ?? makeSystemd()
  const { installation } = readSettings(options.env ?? process.env)
  const installed = Object.values(unitNames(installation)).filter((name) => existsSync(join(systemd.folder, name)))
  return Promise.all(installed.map((name) => systemd.state(name)))
}

/** For what would work against the units: a server by hand, or taking the installation away. */
export function assertNoService({ dataDir, installation, keptBy }: Settings): void {
  if (keptBy !== null || !existsSync('/run/systemd/system') || !existsSync(settingsFile(dataDir))) return
  const { slipway } = unitNames(installation)
  throw new SlipwayError('conflict', `The data folder ${dataDir} belongs to the service ${slipway}.`, {
    hint: `systemctl start ${slipway} starts it; slipway service uninstall takes it away.`,
  })
}

/** One that runs from a terminal gives its deploys back, and the unit's goes on with them. */
async function endForegroundServer(
  { dataDir, installation }: Settings,
  { systemd, say }: { systemd: Systemd; say: (line: string) => void },
): Promise<void> {
  const path = join(dataDir, 'run', 'server.lock')
  const free = await lockFile(path, { waitMs: 0 })
  free?.release()
  if (free !== null) return
  const pid = readLockHolder(path)
  const { pid: own } = await systemd.state(unitNames(installation).slipway)
  if (pid === null || pid === own) return
  say(`Ending the Slipway that runs in the foreground (pid ${pid}); its deploys go on in the service …`)
  process.kill(pid, 'SIGTERM')
  const ended = await lockFile(path, { waitMs: endMs })
  if (ended === null) {
    throw new SlipwayError('timeout', `The Slipway with pid ${pid} does not end.`, {
      hint: `End it, then: systemctl restart ${unitNames(installation).slipway}`,
    })
  }
  ended.release()
}

function assertRoot(): void {
  if (process.getuid?.() === 0) return
  throw new SlipwayError('not_allowed', 'Only root can install a service.', { hint: 'Run it with sudo.' })
}

async function assertPackages(settings: Settings): Promise<void> {
  const purpose = {
    tests: false,
    demo: false,
    ownPostgres: settings.databaseUrl === null,
    engineIsThere: existsSync(settings.dockerSocket),
  }
  const missing = await findMissingPackages(purpose)
  if (missing.length === 0) return
  const names = missing.map((need) => need.package).join(' ')
  throw new SlipwayError('unavailable', `These packages are missing: ${names}.`, {
    hint: `Install them (apt-get install --no-install-recommends ${names}), or run npm start once, which does.`,
  })
}
