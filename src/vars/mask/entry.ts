import { mostVariableBytes } from '../../kernel/variables.ts'
import { buildMasker, type BuiltMasker, makeMasker } from './masker.ts'
import { inSlices } from './slices.ts'

/** The secrets of one environment, and a masker that knows them. */
export interface Entry {
  /** All, with when each was last mentioned. */
  readonly secrets: Map<string, number>
  masker: BuiltMasker
  /** It knows all, or is being made anew. */
  isLevel: boolean
  building: Promise<void> | null
  loaded: Promise<void> | null
  length: number
  /** From this length on it is time to forget. */
  mostLength: number
}

/** Twice what an environment can have at once: what was a secret stays one for a long time. */
const usualMost = 2 * mostVariableBytes
/** Who has just mentioned one is about to use it. */
const freshMs = 2 * 60_000

export const newEntry = (): Entry => ({
  ...{ secrets: new Map(), masker: makeMasker([]), isLevel: true, building: null, loaded: null },
  ...{ length: 0, mostLength: usualMost },
})

export function mention(entry: Entry, secrets: Iterable<string>): void {
  for (const secret of secrets) {
    if (!entry.secrets.has(secret)) {
      entry.isLevel = false
      entry.length += secret.length
    }
    entry.secrets.set(secret, performance.now())
  }
}

/** Resolves when the masker knows all secrets: to make it takes a while when they have thousands of lines, and others have their turn. */
export function level(entry: Entry): Promise<void> {
  // Whoever built may have begun before the newest came.
  if (entry.building !== null) return entry.building.then(() => level(entry))
  if (entry.isLevel) return Promise.resolve()
  const build = async (): Promise<void> => {
    while (!entry.isLevel) {
      entry.isLevel = true
      entry.masker = await inSlices(buildMasker([...entry.secrets.keys()]))
    }
  }
  entry.building = build()
    .catch((error: unknown) => {
      entry.isLevel = false
      throw error
    })
    .finally(() => (entry.building = null))
  return entry.building
}

/** Keeps what can still be printed, which is `inUse`, and what was mentioned a moment ago. */
export async function forget(entry: Entry, inUse: () => Promise<Iterable<string>>): Promise<void> {
  if (entry.length <= entry.mostLength) return
  entry.mostLength = Number.POSITIVE_INFINITY
  try {
    const kept = new Set(await inUse())
    const sinceMs = performance.now() - freshMs
    for (const [secret, mentionedMs] of entry.secrets) {
      if (kept.has(secret) || mentionedMs > sinceMs) continue
      entry.secrets.delete(secret)
      entry.length -= secret.length
      entry.isLevel = false
    }
  } finally {
    entry.mostLength = Math.max(usualMost, 2 * entry.length)
  }
}
