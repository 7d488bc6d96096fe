import { spawn } from 'node:child_process'
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { SlipwayError } from './errors.ts'

export interface FileLock {
  release(): void
}

/**
 * Takes an exclusive lock on a file (made when missing) and writes our pid into it; null when another process still holds it
 * after `waitMs`. Node has no flock(2), so util-linux's `flock` takes it on our descriptor: the lock belongs to the open
 * file, which that command shares with us and which no other child inherits. The kernel frees it when this process ends,
 * however it ends.
 */
export async function lockFile(path: string, options: { waitMs: number }): Promise<FileLock | null> {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    const wait = options.waitMs === 0 ? ['--nonblock'] : ['--wait', String(options.waitMs / 1000)]
    const code = await new Promise<number | null>((resolve, reject) => {
      // A file system of the network may never answer, whatever the wait.
      const limits = { timeout: options.waitMs + 10_000, killSignal: 'SIGKILL' as const }
      const child = spawn('flock', [...wait, '3'], { stdio: ['ignore', 'ignore', 'ignore', fd], ...limits })
      child.on('error', reject)
      child.on('close', resolve)
    })
    if (code === 1) {
      closeSync(fd)
      return null
    }
    if (code !== 0) throw new Error(`flock ended with ${String(code)}`)
    ftruncateSync(fd)
    writeSync(fd, `${process.pid}\n`, 0)
  } catch (error) {
    closeSync(fd)
    throw new SlipwayError('unavailable', `The file ${path} cannot be locked.`, {
      hint: 'Slipway needs the command flock (package util-linux) and a file system that knows locks.',
      cause: error,
    })
  }
  return { release: () => closeSync(fd) }
}

/** The process that wrote itself into a lock file last. */
export function readLockHolder(path: string): number | null {
  const pid = Number.parseInt(readFileSync(path, 'utf8'), 10)
  return Number.isSafeInteger(pid) ? pid : null
}
