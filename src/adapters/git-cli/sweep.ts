import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

const lockAgeMs = 2_000

/** With `packed-refs.new` no ref can be packed or deleted, with `gc.pid.lock` no `git gc` runs any more. */
const locks = ['HEAD.lock', 'packed-refs.new', 'packed-refs.lock', 'config.lock', 'gc.pid.lock']

/**
 * Removes what killed git children left, when no push is on its way. No ref's name can end in `.lock`, and git makes and
 * removes a lock within milliseconds; 0: whatever their age, when none is at work. Temporary objects are of pushes whose
 * server died: their clients know them as failed. At start all of them go; later only those that have become as old as
 * `temporaryMs`.
 */
export async function sweepRepository(
  repository: string,
  { lockMs = lockAgeMs, temporaryMs = 0 }: { lockMs?: number; temporaryMs?: number } = {},
): Promise<void> {
  for (const name of locks) await removeOlder(join(repository, name), lockMs)
  await sweepLocks(join(repository, 'refs'), lockMs)
  await sweepFolder(join(repository, 'info'), /^refs_\w{6}$/, temporaryMs)
  const objects = join(repository, 'objects')
  await sweepFolder(objects, /^(?:tmp_objdir-|incoming-)/, temporaryMs)
  for (const name of await list(objects)) {
    if (/^[0-9a-f]{2}$|^pack$/.test(name)) await sweepFolder(join(objects, name), /^\.?tmp[-_]/, temporaryMs)
    else if (name === 'info') await sweepFolder(join(objects, name), /^packs_\w{6}$/, temporaryMs)
  }
}

async function sweepFolder(folder: string, temporary: RegExp, ageMs: number): Promise<void> {
  for (const name of await list(folder)) if (temporary.test(name)) await removeOlder(join(folder, name), ageMs)
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
