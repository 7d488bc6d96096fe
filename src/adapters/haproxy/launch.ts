import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import type { ProxySettings } from './settings.ts'
import { proxyPaths } from './paths.ts'

const startMs = 15_000
const endMs = 3_000

/**
 * Starts HAProxy as a daemon: an own session and no child of Slipway, so that neither Ctrl-C nor Slipway's end reaches it.
 * Resolves when it has bound its port. With `replacing` it takes the sockets over and lets the old process finish what it
 * has.
 */
export async function launchProxy(
  settings: Pick<ProxySettings, 'dataDir' | 'bind' | 'port'> & { readonly binary: string },
  replacing: Replacing,
): Promise<void> {
  const args = ['-D', ...proxyArguments(settings.dataDir, replacing)]
  const options = { cwd: '/', env: proxyEnvironment, timeout: startMs, killSignal: 'SIGKILL' as const }
  await new Promise<void>((resolve, reject) => {
    execFile(settings.binary, args, options, (error, _stdout, stderr) => {
      if (error === null) resolve()
      else reject(whyNotStarted(settings, error, stderr))
    })
  })
}

export const proxyEnvironment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

export interface Replacing {
  readonly pids: readonly number[]
  readonly takeSockets: boolean
}

/** What is the same however it is started. */
export function proxyArguments(dataDir: string, replacing: Replacing): string[] {
  const paths = proxyPaths(dataDir)
  const takeOver = replacing.takeSockets ? ['-x', paths.socket] : []
  const finish = replacing.pids.length > 0 ? ['-sf', ...replacing.pids.map(String)] : []
  return ['-f', paths.config, '-p', paths.pidFile, ...takeOver, ...finish]
}

/** HAProxy's own words, turned into a sentence for those cases that a person can mend. */
export function whyNotStarted(
  settings: { readonly bind: string; readonly port: number },
  error: Error,
  stderr: string,
): SlipwayError {
  const { bind, port } = settings
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new SlipwayError('unavailable', 'HAProxy is not installed.', { hint: 'apt-get install haproxy' })
  }
  if (/cannot bind socket \(Address already in use\)/.test(stderr)) {
    return new SlipwayError('unavailable', `Port ${port} on ${bind} is taken by another program.`, {
      hint: `Set SLIPWAY_HTTP_PORT to a free port, or stop what listens there (ss -ltnp 'sport = :${port}').`,
    })
  }
  if (/cannot bind socket \(Permission denied\)/.test(stderr)) {
    return new SlipwayError('unavailable', `This user may not listen on port ${port}.`, {
      hint: 'Ports below 1024 are for root: set SLIPWAY_HTTP_PORT to a higher one.',
    })
  }
  if (/cannot bind socket \(Cannot assign requested address\)/.test(stderr)) {
    return new SlipwayError('unavailable', `${bind} is no address of this machine.`, {
      hint: 'Set SLIPWAY_BIND to one of its addresses, or to 0.0.0.0.',
    })
  }
  return new SlipwayError('unavailable', 'HAProxy does not start.', {
    hint: 'Its own words are below.',
    // It repeats the line that it does not like, with the key of passwords where that stands in it.
    evidence: stderr
      .replaceAll(/[A-Za-z0-9+/]{43}=/g, '[REDACTED]')
      .split('\n')
      .filter((line) => /ALERT|WARNING|rror/.test(line)),
    cause: error,
  })
}

/** The processes that run with this data folder's configuration, found by their command line; zombies do not count. */
export async function listOwnProcesses(dataDir: string): Promise<number[]> {
  const numbers = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid > 1)
  const own = await Promise.all(numbers.map(async (pid) => ((await isOwnProcess(dataDir, pid)) ? pid : null)))
  return own.filter((pid) => pid !== null)
}

export async function isOwnProcess(dataDir: string, pid: number): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const args = line.split('\0')
  // A zombie has no command line any more.
  return /(^|\/)haproxy$/.test(args[0] ?? '') && args[args.indexOf('-f') + 1] === proxyPaths(dataDir).config
}

/** Those that still finish what they have, beside the one that answers; a master above it serves nothing itself. */
export async function listPredecessors(dataDir: string, current: number): Promise<number[]> {
  const stat = await readFile(`/proc/${current}/stat`, 'utf8').catch(() => '')
  const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  return (await listOwnProcesses(dataDir)).filter((pid) => pid !== current && pid !== parent)
}

/** SIGTERM, then SIGKILL after 3 s. */
export async function endOwnProcesses(dataDir: string): Promise<void> {
  const deadline = performance.now() + endMs
  signalAll(await listOwnProcesses(dataDir), 'SIGTERM')
  while (performance.now() < deadline) {
    if ((await listOwnProcesses(dataDir)).length === 0) return
    await delay(20)
  }
  signalAll(await listOwnProcesses(dataDir), 'SIGKILL')
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended by itself in between.
    }
  }
}
