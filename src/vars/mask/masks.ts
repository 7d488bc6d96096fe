import { makeMasker, type Masker } from './masker.ts'

/**
 * What must not be read in outputs: of each environment the secrets as they are, those of its releases that print or are
 * deployed, and its SECRET_KEY. What was a secret stays one until Slipway ends.
 */
export interface Masks {
  /** Goes on with what becomes secret later. */
  ofEnvironment(environmentId: number): Promise<Masker>
  ofRelease(releaseId: number): Promise<Masker>
  /** Called before anything of these can be printed. */
  add(environmentId: number, secrets: Iterable<string>): void
}

export interface SecretsSource {
  /** All secrets of the environment as they are now, its SECRET_KEY among them. */
  ofEnvironment(environmentId: number): Promise<Iterable<string>>
  /** Null when there is no such release. */
  ofRelease(releaseId: number): Promise<{ environmentId: number; secrets: Iterable<string> } | null>
}

interface Entry {
  readonly secrets: Set<string>
  /** Made anew when it is needed after something was added. */
  masker: Masker | null
  loaded: Promise<void> | null
}

export function makeMasks(source: SecretsSource): Masks {
  const entries = new Map<number, Entry>()
  const entryOf = (environmentId: number): Entry => {
    const entry = entries.get(environmentId) ?? { secrets: new Set(), masker: null, loaded: null }
    entries.set(environmentId, entry)
    return entry
  }
  const add = (environmentId: number, secrets: Iterable<string>): void => {
    const entry = entryOf(environmentId)
    const before = entry.secrets.size
    for (const secret of secrets) entry.secrets.add(secret)
    if (entry.secrets.size > before) entry.masker = null
  }
  const ofEnvironment = async (environmentId: number): Promise<Masker> => {
    const entry = entryOf(environmentId)
    entry.loaded ??= source.ofEnvironment(environmentId).then((secrets) => add(environmentId, secrets))
    await entry.loaded.catch((error: unknown) => {
      entry.loaded = null
      throw error
    })
    return liveMasker(() => (entry.masker ??= makeMasker(entry.secrets)))
  }
  return {
    add,
    ofEnvironment,
    async ofRelease(releaseId) {
      const found = await source.ofRelease(releaseId)
      if (found === null) return makeMasker([])
      add(found.environmentId, found.secrets)
      return ofEnvironment(found.environmentId)
    },
  }
}

/** Whatever masker there is at the time. */
function liveMasker(current: () => Masker): Masker {
  return {
    mask: (text) => current().mask(text),
    lines() {
      let masker = current()
      let line = masker.lines()
      return (text) => {
        if (masker !== current()) {
          masker = current()
          line = masker.lines()
        }
        return line(text)
      }
    },
  }
}
