import type { SpawnGit } from '../../git/index.ts'
import { readBlobs } from './blobs.ts'
import type { TreeEntry } from './tree.ts'

const most = 10
/** A pointer is its version line, a SHA-256 and a size; with extensions a few lines more. */
const pointerBytes = { least: 100, most: 1023 }
const pointerStart = 'version https://git-lfs.github.com/spec/v1\n'

interface Where {
  readonly repository: string
  readonly signal: AbortSignal
}

/** What of a tree may be, or speak of, Git LFS; collected while it is walked. */
export interface LfsTraces {
  readonly note: (entry: TreeEntry) => void
  /** Paths of pointers: what stands in the repository instead of a file that only an LFS server has. At most ten. */
  find(spawnGit: SpawnGit, where: Where): Promise<string[]>
}

/** Looked for only where a `.gitattributes` speaks of LFS, as it does in every project that uses it. */
export function makeLfsTraces(): LfsTraces {
  const attributes: TreeEntry[] = []
  const small: TreeEntry[] = []
  return {
    note(entry) {
      if (entry.type !== 'blob' || entry.mode === '120000') return
      if (/(?:^|\/)\.gitattributes$/.test(entry.path) && entry.size < 64 * 1024) attributes.push(entry)
      else if (entry.size >= pointerBytes.least && entry.size <= pointerBytes.most) small.push(entry)
    },
    async find(spawnGit, where) {
      const texts = await readBlobs(spawnGit, where, idsOf(attributes.slice(0, 100)))
      if (![...texts.values()].some((text) => /\bfilter=lfs\b/.test(text.toString('latin1')))) return []
      const found: string[] = []
      for (let i = 0; i < small.length && found.length < most; i += 5000) {
        const some = small.slice(i, i + 5000)
        const blobs = await readBlobs(spawnGit, where, idsOf(some))
        for (const entry of some) {
          if (blobs.get(entry.id)?.toString('latin1').startsWith(pointerStart) === true)
            found.push(Buffer.from(entry.path, 'latin1').toString('utf8'))
        }
      }
      return found.slice(0, most)
    },
  }
}

const idsOf = (entries: readonly TreeEntry[]): string[] => entries.map((entry) => entry.id)
