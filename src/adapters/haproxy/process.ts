import { chmod, mkdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Secret } from '../../kernel/secret.ts'
import { writeWholeFile } from '../../kernel/whole-file.ts'
import { configHash, renderConfig } from './config.ts'
import type { ProxySettings } from './settings.ts'
import { proxyPaths } from './paths.ts'
import { type ForegroundProxy, foregroundProxy, tellReload } from './keeper.ts'
import { endOwnProcesses, launchProxy, listOwnProcesses } from './launch.ts'
import { renderMaintenancePage } from './maintenance.ts'
import { type PageName, pages, renderBody, renderPage } from './pages.ts'
import type { ProxyInfo, ProxySocket } from './socket.ts'
import { makeSuccession, type Succession } from './succession.ts'
import { watchProxy } from './watch.ts'

export interface ProxyProcess {
  /** Finds the running proxy, reloads it when its configuration is another one, or starts it. Safe to repeat. */
  readonly ensure: () => Promise<'found' | 'reloaded' | 'started'>
  /**
   * Starts it again when it has ended, and tells when it hangs; `onBack` when it answers again, or another process does because
   * somebody else reloaded it. Until the signal fires.
   */
  watch(signal: AbortSignal, onBack: () => Promise<void>): Promise<void>
  /** Ends it, with all connections. */
  readonly stop: () => Promise<void>
  readonly hasPredecessor: Succession['hasPredecessor']
  readonly predecessorLeads: Succession['predecessorLeads']
  /** For whoever keeps the proxy: writes its files, and tells what to run in the foreground, in the place of what runs now. */
  readonly foreground: (notifySocket: string | null) => Promise<ForegroundProxy>
  /** Before its keeper ends the proxy for good: a process of its own takes the sockets over. Nothing happens when none runs. */
  readonly detach: () => Promise<void>
}

export interface ProcessParts {
  readonly settings: Omit<ProxySettings, 'passwordKey'> & { readonly binary: string }
  readonly passwordKey: () => Promise<Secret>
  readonly pageTemplate: string
  /** What holds requests up that come in too large a number. */
  readonly queueScript: string
  readonly socket: ProxySocket
  /** Called before the proxy reads its maps from disk. */
  readonly mendMaps: () => Promise<void>
  readonly logger: Logger
  /** Who starts the proxy and brings it back, when that is not us. */
  readonly keptBy: string | null
}

const readyMs = 5_000
/** A keeper may just be starting, too. */
const keptReadyMs = 30_000

export function makeProxyProcess(parts: ProcessParts): ProxyProcess {
  const { settings, socket, mendMaps, logger, keptBy } = parts
  const { dataDir } = settings
  const paths = proxyPaths(dataDir)
  const render = async (): Promise<string> => renderConfig({ ...settings, passwordKey: await parts.passwordKey() })
  const succession = makeSuccession(dataDir)

  /** Writes what HAProxy reads at its start, and starts it in the place of whatever still runs. */
  const start = async (takeSockets: boolean): Promise<ProxyInfo> => {
    const config = await render()
    await writeFiles(parts, config)
    await mendMaps()
    if (keptBy !== null) return await startKept(keptBy, { reload: takeSockets, hash: configHash(config) })
    const old = await listOwnProcesses(dataDir)
    await launchProxy(settings, { pids: old, takeSockets })
    const info = await untilReady(configHash(config), old)
    await succession.leadsNow(info.pid)
    return info
  }

  const startKept = async (keeper: string, { reload, hash }: { reload: boolean; hash: string }): Promise<ProxyInfo> => {
    if (reload) await tellReload(dataDir, keeper)
    const info = await untilReady(hash, [], keptReadyMs).catch((cause: unknown) => {
      throw new SlipwayError('unavailable', `The proxy, which ${keeper} keeps, does not answer with these settings.`, {
        hint: keeper === 'systemd' ? 'Look at: systemctl status "slipway*"' : `Look at what ${keeper} says of it.`,
        cause,
      })
    })
    await succession.leadsNow(info.pid)
    return info
  }

  const untilReady = async (hash: string, old: readonly number[], withinMs = readyMs): Promise<ProxyInfo> => {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline) {
      const info = await socket.probe()
      if (typeof info === 'object' && info.configHash === hash && !old.includes(info.pid)) return info
      await delay(10)
    }
    throw new SlipwayError('unavailable', 'HAProxy was started but does not answer on its socket.')
  }

  return {
    async ensure() {
      // The configuration is checked first: a wrong setting must not leave anything half made.
      const hash = configHash(await render())
      const found = await socket.probe()
      if (found === 'silent') {
        throw new SlipwayError('unavailable', 'The proxy is running but does not answer; it may be frozen.', {
          hint: `Its process id is in ${paths.pidFile}: let it go on (kill -CONT) or end it, then start Slipway again.`,
        })
      }
      if (found === 'gone') {
        const { pid } = await start(false)
        logger.info('proxy started', { pid, port: settings.port })
        return 'started'
      }
      if (found.configHash !== hash) {
        const { pid } = await start(true)
        logger.info('proxy reloaded', { pid, before: found.pid })
        return 'reloaded'
      }
      await succession.leadsNow(found.pid)
      logger.info('proxy found', { pid: found.pid })
      return 'found'
    },

    watch(signal, onBack) {
      const takeUp = async (pid: number): Promise<void> => {
        await succession.leadsNow(pid)
        await onBack()
      }
      return watchProxy(
        { socket, start: () => start(false), onBack: takeUp, logger, before: succession.leading() },
        signal,
      )
    },
    stop: () => endOwnProcesses(dataDir),
    hasPredecessor: succession.hasPredecessor,
    predecessorLeads: succession.predecessorLeads,

    async foreground(notifySocket) {
      await writeFiles(parts, await render())
      await mendMaps()
      const takeSockets = typeof (await socket.probe()) === 'object'
      const replacing = { pids: await listOwnProcesses(dataDir), takeSockets }
      return foregroundProxy({ ...settings, replacing, notifySocket })
    },

    async detach() {
      if (typeof (await socket.probe()) === 'object') await launchProxy(settings, { pids: [], takeSockets: true })
    },
  }
}

async function writeFiles({ settings, pageTemplate, queueScript }: ProcessParts, config: string): Promise<void> {
  const paths = proxyPaths(settings.dataDir)
  await mkdir(paths.pages, { recursive: true, mode: 0o700 })
  await mkdir(paths.run, { recursive: true })
  // The proxy's own user passes through to Slipway's socket, and can list nothing.
  if (settings.user !== null) await chmod(paths.run, 0o711)
  const template = await readFile(pageTemplate, 'utf8')
  for (const [name, page] of Object.entries(pages)) {
    await writeIfOther(paths.page(name as PageName), renderPage(page, template))
    if (name !== 'maintenance') await writeIfOther(paths.body(name as PageName), renderBody(page, template))
  }
  await writeIfOther(paths.body('maintenance'), renderMaintenancePage(template))
  await writeIfOther(paths.queue, await readFile(queueScript, 'utf8'))
  await writeIfOther(paths.config, config)
}

/** A proxy that has ended comes back on a full disk too: what stands there already is not written. */
async function writeIfOther(path: string, content: string): Promise<void> {
  const onDisk = await readFile(path, 'utf8').catch(() => null)
  if (onDisk !== content) await writeWholeFile(path, content, 0o600)
}
