import type { SpawnGit } from '../../git/index.ts'
import { runGit } from './spawn-git.ts'
import { type TreeEntry, walkTree } from './tree.ts'

const most = 10
/** A pointer is its version line, a SHA-256 and a size; with extensions a few lines more. */
const pointerBytes = { least: 100, most: 1023 }
const pointerStart = 'version https://git-lfs.github.com/spec/v1\n'

interface Where {
  readonly repository: string
  readonly commit: string
  readonly signal: AbortSignal
}

/**
 * Paths of Git LFS pointers: what stands in the repository instead of a file that only an LFS server has. Looked for only where a
 * `.gitattributes` speaks of LFS, as it does in every project that uses it.
 */
export async function findLfsPointersIn(spawnGit: SpawnGit, where: Where): Promise<string[]> {
  const attributes: TreeEntry[] = []
  const small: TreeEntry[] = []
  await walkTree(spawnGit, where, (entry) => {
    if (entry.type !== 'blob' || entry.mode === '120000') return
    if (/(?:^|\/)\.gitattributes$/.test(entry.path) && entry.size < 64 * 1024) attributes.push(entry)
    else if (entry.size >= pointerBytes.least && entry.size <= pointerBytes.most) small.push(entry)
  })
  const texts = await readBlobs(spawnGit, where, attributes.slice(0, 100))
  if (![...texts.values()].some((text) => /\bfilter=lfs\b/.test(text))) return []

  const found: string[] = []
  for (let i = 0; i < small.length && found.length < most; i += 5000) {
    const some = small.slice(i, i + 5000)
    const blobs = await readBlobs(spawnGit, where, some)
    for (const entry of some) {
      if (blobs.get(entry.id)?.startsWith(pointerStart) === true)
        found.push(Buffer.from(entry.path, 'latin1').toString('utf8'))
    }
  }
  return found.slice(0, most)
}

/** Blob id → content as latin1. */
async function readBlobs(
  spawnGit: SpawnGit,
  where: Where,
  entries: readonly TreeEntry[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  if (entries.length === 0) return texts
  const { stdout } = await runGit(spawnGit, ['cat-file', '--batch', '--buffer'], {
    repository: where.repository,
    input: `${[...new Set(entries.map((entry) => entry.id))].join('\n')}\n`,
    signal: where.signal,
  })
  // `<id> blob <size>\n<content>\n`, one after the other.
  for (let at = 0; at < stdout.length; ) {
    const end = stdout.indexOf(10, at)
    const [id = '', type, size = '0'] = stdout.subarray(at, end).toString('latin1').split(' ')
    const from = end + 1
    if (type === 'missing') {
      at = from
      continue
    }
    texts.set(id, stdout.subarray(from, from + Number(size)).toString('latin1'))
    at = from + Number(size) + 1
  }
  return texts
}
