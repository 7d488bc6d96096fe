/**
 * Whether what was read of a release's variables may still be given to something that starts. Between reading them and starting a
 * container some tenths of a second go by, or a minute on a busy engine; a value that is taken out meanwhile must not start. One
 * server starts and takes out, so its memory is enough: what its predecessor had made and not started is told by its label.
 */
export interface Freshness {
  /**
   * Called before they are read; what it returns starts something with them at any later time, or is false when that may not be any
   * more. While they are being changed it waits for that: whoever is refused then sees why in the database.
   */
  beginReading(releaseId: number): (start: () => Promise<void>) => Promise<boolean>
  /**
   * Called before the change of these releases is committed: from now on nothing starts with what was read of them. What it returns is
   * called when the change is done, or given up: what is read from then on is fresh again. It resolves when all that was let through
   * before has started, or failed to.
   */
  beginChange(releaseIds: readonly number[]): () => Promise<void>
}

export function makeFreshness(): Freshness {
  const changes = new Map<number, number>()
  const changing = makeSets()
  const starting = makeSets()
  return {
    beginReading(id) {
      const before = changes.get(id)
      // What is read while they are being changed may be either.
      const isUnsure = changing.of(id).length > 0
      return async (start) => {
        for (let now = changing.of(id); now.length > 0; now = changing.of(id)) await Promise.all(now)
        if (changes.get(id) !== before || isUnsure) return false
        const started = start()
        const settled = started.catch(() => undefined)
        starting.add(id, settled)
        void settled.then(() => starting.remove(id, settled))
        await started
        return true
      }
    },
    beginChange(ids) {
      const { promise, resolve } = Promise.withResolvers<void>()
      for (const id of ids) changing.add(id, promise)
      return async () => {
        for (const id of ids) {
          changes.set(id, (changes.get(id) ?? 0) + 1)
          changing.remove(id, promise)
        }
        resolve()
        await Promise.all(ids.flatMap((id) => starting.of(id)))
      }
    },
  }
}

/** What goes on for each release. */
function makeSets() {
  const sets = new Map<number, Set<Promise<void>>>()
  return {
    of: (id: number): Promise<void>[] => [...(sets.get(id) ?? [])],
    add: (id: number, one: Promise<void>): void => void sets.set(id, (sets.get(id) ?? new Set()).add(one)),
    remove(id: number, one: Promise<void>): void {
      const others = sets.get(id)
      others?.delete(one)
      if (others?.size === 0) sets.delete(id)
    },
  }
}
