import { type Entry, forget, level, mention, newEntry } from './entry.ts'
import { type BuiltMasker, makeMasker, type Masker } from './masker.ts'

/**
 * What must not be read in outputs: of each environment the secrets as they are, those of its releases that print or are
 * deployed, and its SECRET_KEY. What was a secret stays one for as long as there is room (`entry.ts`).
 */
export interface Masks {
  /** Goes on with what becomes secret later. */
  ofEnvironment(environmentId: number): Promise<Masker>
  ofRelease(releaseId: number): Promise<Masker>
  /** Resolves when these are masked, wherever a masker was opened: awaited before anything can print them. */
  add(environmentId: number, secrets: Iterable<string>): Promise<void>
}

export interface SecretsSource {
  /** All secrets of the environment as they are now, its SECRET_KEY among them. */
  ofEnvironment(environmentId: number): Promise<Iterable<string>>
  /** Null when there is no such release. */
  ofRelease(releaseId: number): Promise<{ environmentId: number; secrets: Iterable<string> } | null>
  /** Those of `ofEnvironment`, and those that releases have of which something runs or is about to. */
  inUse(environmentId: number): Promise<Iterable<string>>
}

export function makeMasks(source: SecretsSource): Masks {
  const entries = new Map<number, Entry>()
  const entryOf = (environmentId: number): Entry => {
    const entry = entries.get(environmentId) ?? newEntry()
    entries.set(environmentId, entry)
    return entry
  }
  const add = async (environmentId: number, secrets: Iterable<string>): Promise<void> => {
    const entry = entryOf(environmentId)
    mention(entry, secrets)
    // Without an answer all is kept.
    await forget(entry, () => source.inUse(environmentId)).catch(() => undefined)
    await level(entry)
  }
  const ofEnvironment = async (environmentId: number): Promise<Masker> => {
    const entry = entryOf(environmentId)
    entry.loaded ??= source.ofEnvironment(environmentId).then((secrets) => add(environmentId, secrets))
    await entry.loaded.catch((error: unknown) => {
      entry.loaded = null
      throw error
    })
    await level(entry)
    return liveMasker(() => entry.masker)
  }
  return {
    add,
    ofEnvironment,
    async ofRelease(releaseId) {
      const found = await source.ofRelease(releaseId)
      if (found === null) return makeMasker([])
      await add(found.environmentId, found.secrets)
      return ofEnvironment(found.environmentId)
    },
  }
}

/** Whatever masker there is at the time. */
function liveMasker(current: () => BuiltMasker): Masker {
  return {
    mask: (text) => current().mask(text),
    maskCut: (text) => current().maskCut(text),
    lines() {
      let masker = current()
      let line = masker.openLines()
      /** Since when a secret may go on from line to line: whichever masker comes must have read them, too. */
      let open: string[] = []
      return (text) => {
        if (masker !== current()) {
          masker = current()
          line = masker.openLines()
          for (const earlier of open) line.mask(earlier)
        }
        const masked = line.mask(text)
        open = line.isOpen() ? [...open, text].slice(-mostOpen) : []
        return masked
      }
    },
  }
}

/** The longest value in its longest form, in lines of 8 KiB. */
const mostOpen = 48
