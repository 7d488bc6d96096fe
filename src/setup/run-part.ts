import { resolve } from 'node:path'
import { makeProxy } from '../adapters/haproxy/index.ts'
import { readSettings } from '../config.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { makeLogger } from '../kernel/logger.ts'
import { makeCluster } from '../postgres/cluster.ts'
import { prepareDataDir } from './preflight.ts'
import { fail } from '../kernel/tell.ts'

/*
 * `run-part.ts proxy|postgres`: for those who keep these two themselves (systemd, a container). Makes ready what the part
 * needs, in the place of one that runs already, and becomes it: what the keeper watches is HAProxy or PostgreSQL itself.
 */

interface Part {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly owner?: { readonly uid: number; readonly gid: number } | null
}

async function runPart(name: string, root: string): Promise<void> {
  const settings = readSettings()
  const logger = makeLogger({ level: settings.logLevel, console: true })
  await prepareDataDir(settings.dataDir)
  const notifySocket = process.env['NOTIFY_SOCKET'] ?? null
  if (name === 'proxy') {
    return become(await makeProxy({ ...settings, port: settings.httpPort, root, logger }).foreground(notifySocket))
  }
  if (name === 'postgres') {
    const { env, ...server } = await makeCluster({ ...settings, name: 'control', logger }).foreground()
    return become({ ...server, env: notifySocket === null ? env : { ...env, NOTIFY_SOCKET: notifySocket } })
  }
  throw new SlipwayError('bad_request', `There is no part ${name}: it is proxy or postgres.`)
}

/** The same process goes on as another program; nothing of ours is inherited. */
function become({ file, args, env, owner = null }: Part): never {
  process.chdir('/')
  if (owner !== null) {
    process.setgroups?.([owner.gid])
    process.setgid?.(owner.gid)
    process.setuid?.(owner.uid)
  }
  if (process.execve === undefined) throw new Error(`Node ${process.version} cannot become another program.`)
  return process.execve(file, [file, ...args], { ...env })
}

runPart(process.argv[2] ?? '', resolve(import.meta.dirname, '../..')).catch(fail)
