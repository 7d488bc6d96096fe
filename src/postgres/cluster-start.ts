import { existsSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { type ClusterPaths, socketName } from './cluster-files.ts'
import {
  findOrphanedBackends,
  findPostmaster,
  type Postmaster,
  type ServerProgram,
  signalProcess,
  startPostmaster,
} from './cluster-process.ts'

export interface ClusterConnection {
  /** The folder of the server's Unix socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
}

// Recovery of a large database after a crash; it says "starting up" meanwhile.
const recoveryLimitMs = 120_000

/** Starts the server unless it lives, and waits until it answers. The caller holds the cluster's lock. */
export async function startUntilReady(
  paths: ClusterPaths,
  how: ServerProgram & { connection: ClusterConnection; logger: Logger; limitMs: number },
): Promise<void> {
  const begin = performance.now()
  const logStart = await sizeOf(paths.log)
  let started: Postmaster | null = null
  let answer: Answer = 'none'
  while (performance.now() - begin < (answer === 'starting' ? recoveryLimitMs : how.limitMs)) {
    if (findPostmaster(paths) === null && started?.ended() !== false) {
      endOrphans(paths, how.logger)
      started = await startPostmaster(paths, how)
    }
    await Promise.race([delay(20), ...(started === null ? [] : [started.exited])])
    answer = await ask(how.connection)
    if (answer === 'ready') return
    if (started?.ended() === true) {
      const lines = await readFrom(paths.log, logStart)
      if (!lines.some((line) => /pre-existing shared memory|lock file ".*" already exists/.test(line))) {
        throw failedStart('The database server ended while it was starting.', paths, lines)
      }
      await delay(200)
    }
  }
  throw failedStart(describeSilence(findPostmaster(paths), answer), paths, await readFrom(paths.log, logStart))
}

function endOrphans(paths: ClusterPaths, logger: Logger): void {
  for (const pid of findOrphanedBackends(paths)) {
    logger.warn('ending a database process whose server is gone', { pid })
    signalProcess(pid, 'SIGQUIT')
  }
}

type Answer = 'ready' | 'starting' | 'none'

/** Asks a question over the socket: a server that is there but frozen takes a connection and says nothing. */
export async function ask(connection: ClusterConnection): Promise<Answer> {
  if (!existsSync(join(connection.host, socketName))) return 'none'
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 2000, query_timeout: 2000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return 'ready'
  } catch (error) {
    // 57P03: it starts, recovers or shuts down.
    return error instanceof pg.DatabaseError && error.code === '57P03' ? 'starting' : 'none'
  } finally {
    // Not waited for: a frozen server answers no goodbye either.
    void client.end().catch(() => undefined)
  }
}

function describeSilence(pid: number | null, answer: Answer): string {
  if (pid === null) return `The database server could not be started.`
  if (answer === 'starting') return `The database server (pid ${pid}) is still recovering from a crash.`
  return `The database server (pid ${pid}) is there but does not answer.`
}

function failedStart(sentence: string, paths: ClusterPaths, lines: readonly string[]): SlipwayError {
  return new SlipwayError('unavailable', sentence, { hint: `Its log: ${paths.log}`, evidence: lines.slice(-10) })
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (stats) => stats.size,
    () => 0,
  )
}

/** The lines written after `offset`, at most the last 16 KiB. */
async function readFrom(path: string, offset: number): Promise<string[]> {
  const size = await sizeOf(path)
  const start = Math.max(offset, size - 16 * 1024)
  if (size <= start) return []
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start)
    return buffer
      .toString('utf8', 0, bytesRead)
      .split('\n')
      .filter((line) => line !== '')
  } finally {
    await file.close()
  }
}
