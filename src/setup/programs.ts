import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const runFile = promisify(execFile)

/** Folders of administrators' programs: not in an ordinary user's PATH on Debian. */
const adminFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** PATH with the administrators' folders at its end. */
export function searchPath(): string {
  const folders = (process.env['PATH'] ?? '/usr/bin:/bin').split(':')
  return [...folders, ...adminFolders.filter((folder) => !folders.includes(folder))].join(':')
}

export function findProgram(name: string): string | null {
  for (const folder of searchPath().split(':')) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return null
}

/** The first `1.2` in what a program says of its version; null when it is missing or does not run. */
export async function readVersion(name: string, flag: string): Promise<string | null> {
  const path = findProgram(name)
  if (path === null) return null
  const { stdout } = await runFile(path, [flag], { timeout: 10_000, killSignal: 'SIGKILL' }).catch(() => ({
    stdout: '',
  }))
  return /\d+\.\d+/.exec(stdout)?.[0] ?? null
}
