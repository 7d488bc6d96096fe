import { setTimeout as sleep } from 'node:timers/promises'
import type { GitChild, SpawnGit } from '../../git/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { shortCommit } from '../../kernel/short-commit.ts'

export interface TreeEntry {
  readonly mode: string
  readonly type: string
  readonly id: string
  /** 0 for what is no file. */
  readonly size: number
  /** Bytes as latin1. */
  readonly path: string
}

/** security.md section 0: twelve objects make 10^10 files; a real project has a few ten thousand. */
export const treeLimits = { entries: 200_000, bytes: 2 * 1024 ** 3, listingBytes: 128 * 1024 ** 2, ms: 60_000 } as const

/** Nearly every tree is listed by then. */
const patienceMs = 50

/**
 * Lists a commit's tree, folders included, and calls back for each entry. Stops and throws `too_large` at the limits, so
 * that a tree which repeats itself costs milliseconds.
 */
export async function walkTree(
  spawnGit: SpawnGit,
  options: { repository: string; commit: string; signal: AbortSignal },
  onEntry: (entry: TreeEntry) => void,
): Promise<{ entries: number; bytes: number }> {
  const limits = { idleMs: treeLimits.ms, totalMs: treeLimits.ms, signal: options.signal }
  const list = (...how: string[]): GitChild => {
    const args = ['ls-tree', '-r', '-t', '-z', ...how, '--full-tree', options.commit]
    const child = spawnGit(args, { env: { GIT_DIR: options.repository }, limits })
    child.stdin.end()
    return child
  }
  const listing = list('-l')
  const children = [listing]
  const killAll = (): void => children.forEach((child) => child.kill())
  const over = new AbortController()
  // Names alone come twenty times as fast as sizes: what explodes is found by them.
  const refuseByNames = async (): Promise<never> => {
    await sleep(patienceMs, undefined, { signal: over.signal })
    const names = list('--name-only')
    children.push(names)
    await countNames(names.stdout)
    return new Promise<never>(() => undefined)
  }
  try {
    const size = await Promise.race([readListing(listing.stdout, onEntry), refuseByNames()])
    const exit = await listing.exited
    if (exit.endedFor !== null) throw exit.endedFor
    if (exit.code !== 0) {
      throw new SlipwayError('not_found', `Git cannot read the tree of the commit ${shortCommit(options.commit)}.`, {
        evidence: exit.stderr.split('\n').filter((line) => line !== ''),
      })
    }
    return size
  } finally {
    over.abort()
    killAll()
  }
}

async function countNames(stdout: AsyncIterable<unknown>): Promise<void> {
  let entries = 0
  for await (const chunk of stdout) {
    const bytes = chunk as Buffer
    for (let at = bytes.indexOf(0); at !== -1; at = bytes.indexOf(0, at + 1)) entries += 1
    if (entries > treeLimits.entries) throw tooLarge(entries, 0)
  }
}

async function readListing(
  stdout: AsyncIterable<unknown>,
  onEntry: (entry: TreeEntry) => void,
): Promise<{ entries: number; bytes: number }> {
  let rest = ''
  let entries = 0
  let bytes = 0
  let listed = 0
  for await (const chunk of stdout) {
    const parts = (rest + (chunk as Buffer).toString('latin1')).split('\0')
    rest = parts.pop() ?? ''
    listed += (chunk as Buffer).length
    for (const part of parts) {
      const entry = parseEntry(part)
      entries += 1
      bytes += entry.size
      if (entries > treeLimits.entries || bytes > treeLimits.bytes) throw tooLarge(entries, bytes)
      onEntry(entry)
    }
    if (listed > treeLimits.listingBytes) throw tooLarge(entries, bytes)
  }
  return { entries, bytes }
}

function tooLarge(entries: number, bytes: number): SlipwayError {
  const what =
    bytes > treeLimits.bytes
      ? 'The files of this commit are larger than 2 GB together.'
      : entries > treeLimits.entries
        ? 'This commit holds more than 200,000 files and folders.'
        : 'The names of the files of this commit are too long together.'
  return new SlipwayError('too_large', what, { hint: 'Keep data, caches and dependencies out of the repository.' })
}

/** `<mode> <type> <id> <size or ->\t<path>` */
export function parseEntry(line: string): TreeEntry {
  const tab = line.indexOf('\t')
  const [mode = '', type = '', id = '', size = ''] = line.slice(0, tab).split(/ +/)
  return { mode, type, id, size: type === 'blob' && /^\d+$/.test(size) ? Number(size) : 0, path: line.slice(tab + 1) }
}
