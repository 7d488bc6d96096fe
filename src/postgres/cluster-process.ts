import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type ClusterOwner, type ClusterPaths, programEnvironment } from './cluster-files.ts'

export interface ServerProgram {
  /** The folder of the programs of the cluster's major version. */
  readonly programs: string
  readonly owner: ClusterOwner
  readonly durable: boolean
}

/** A server process that we started; `exited` resolves with its code or signal. */
export interface Postmaster {
  readonly pid: number
  readonly exited: Promise<number | string>
  ended(): boolean
}

/**
 * Starts the server in a session of its own, so that neither Ctrl-C nor our end reaches it. Everything it must know stands on
 * its command line: the same each time, whatever version of Slipway made the cluster.
 */
export function startPostmaster(paths: ClusterPaths, options: ServerProgram): Promise<Postmaster> {
  const log = openSync(paths.log, 'a', 0o600)
  const child = spawn(join(options.programs, 'postgres'), serverArguments(paths, options.durable), {
    cwd: '/',
    env: programEnvironment(),
    stdio: ['ignore', log, log],
    detached: true,
    ...(process.getuid?.() === 0 ? options.owner : {}),
  })
  closeSync(log)
  child.unref()
  let over = false
  const exited = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => {
      over = true
      resolve(code ?? signal ?? 'unknown')
    })
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('spawn', () => resolve({ pid: child.pid ?? -1, exited, ended: () => over }))
  })
}

export function serverArguments(paths: ClusterPaths, durable: boolean): string[] {
  const settings = Object.entries(serverSettings(paths, durable))
  return ['-D', paths.data, ...settings.flatMap(([key, value]) => ['-c', `${key}=${value}`])]
}

function serverSettings(paths: ClusterPaths, durable: boolean): Record<string, string> {
  return {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: paths.socketDir,
    unix_socket_permissions: '0700',
    hba_file: join(paths.data, 'slipway_hba.conf'),
    ident_file: join(paths.data, 'slipway_ident.conf'),
    shared_buffers: '64MB',
    max_connections: '100',
    max_wal_size: '256MB',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'warning',
    // Statements in the log would carry values of users.
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    log_line_prefix: '%m [%p] ',
    fsync: durable ? 'on' : 'off',
    full_page_writes: durable ? 'on' : 'off',
  }
}

/** The pid of this cluster's living postmaster, or null. A pid that now belongs to another program does not count. */
export function findPostmaster(paths: ClusterPaths): number | null {
  let pid: number
  try {
    pid = Number.parseInt(readFileSync(join(paths.data, 'postmaster.pid'), 'utf8'), 10)
  } catch {
    return null
  }
  return Number.isSafeInteger(pid) && pid > 1 && worksIn(pid, paths.data) ? pid : null
}

/** Backends whose postmaster was killed: they hold the shared memory that the next one needs. */
export function findOrphanedBackends(paths: ClusterPaths): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => worksIn(pid, paths.data))
}

/** Every process of a server has the data folder as its working folder; a zombie has none, and somebody’s shell is no server. */
function worksIn(pid: number, folder: string): boolean {
  try {
    return (
      readlinkSync(`/proc/${pid}/cwd`) === folder &&
      /\/postgres(?: \(deleted\))?$/.test(readlinkSync(`/proc/${pid}/exe`))
    )
  } catch {
    return false
  }
}

export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended in between.
  }
}
