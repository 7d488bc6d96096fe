import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

const lockAgeMs = 2_000

/**
 * Removes what killed git children left, when no push is on its way. No ref's name can end in `.lock`, and git makes and
 * removes a lock within milliseconds. Temporary objects are of pushes whose server died: their clients know them as failed.
 * At start all of them go; later only those that have become as old as `temporaryAgeMs`.
 */
export async function sweepRepository(repository: string, temporaryAgeMs = 0): Promise<void> {
  await removeLocks(repository, lockAgeMs)
  const objects = join(repository, 'objects')
  for (const name of await list(objects)) {
    if (/^(?:tmp_objdir-|incoming-)/.test(name)) await removeOlder(join(objects, name), temporaryAgeMs)
    else if (/^[0-9a-f]{2}$|^pack$/.test(name)) {
      for (const file of await list(join(objects, name))) {
        if (/^\.?tmp[-_]/.test(file)) await removeOlder(join(objects, name, file), temporaryAgeMs)
      }
    }
  }
}

/** Those that git children left; 0: whatever their age, when none is at work. */
export async function removeLocks(repository: string, ageMs = 0): Promise<void> {
  for (const name of ['HEAD.lock', 'packed-refs.lock', 'config.lock']) await removeOlder(join(repository, name), ageMs)
  await sweepLocks(join(repository, 'refs'), ageMs)
}

async function sweepLocks(folder: string, ageMs: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await sweepLocks(path, ageMs)
    else if (entry.name.endsWith('.lock')) await removeOlder(path, ageMs)
  }
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => [])
}

async function removeOlder(path: string, ageMs: number): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found !== null && Date.now() - found.mtimeMs >= ageMs) await remove(path)
}

async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}
