/**
 * Whether what was read of a release's variables may still be given to something that starts. Between reading them and starting a
 * container some tenths of a second go by, or a minute on a busy engine; a value that is taken out meanwhile must not start. One
 * server starts and takes out, so its memory is enough: what its predecessor had made and not started is told by its label.
 */
export interface Freshness {
  /**
   * Called before they are read; what it returns says at any later time whether they may still be given to something. While they are
   * being changed it waits for that: whoever is refused then sees why in the database.
   */
  beginReading(releaseId: number): () => Promise<boolean>
  /**
   * Called before the change of these releases is committed: from now on nothing starts with what was read of them. What it returns is
   * called when the change is done, or given up: what is read from then on is fresh again.
   */
  beginChange(releaseIds: readonly number[]): () => void
}

export function makeFreshness(): Freshness {
  const changes = new Map<number, number>()
  const changing = new Map<number, Set<Promise<void>>>()
  return {
    beginReading(id) {
      const before = changes.get(id)
      // What is read while they are being changed may be either.
      const isUnsure = changing.has(id)
      return async () => {
        for (let now = changing.get(id); now !== undefined; now = changing.get(id)) await Promise.all(now)
        return changes.get(id) === before && !isUnsure
      }
    },
    beginChange(ids) {
      const { promise, resolve } = Promise.withResolvers<void>()
      for (const id of ids) changing.set(id, (changing.get(id) ?? new Set()).add(promise))
      return () => {
        for (const id of ids) {
          changes.set(id, (changes.get(id) ?? 0) + 1)
          const others = changing.get(id)
          others?.delete(promise)
          if (others?.size === 0) changing.delete(id)
        }
        resolve()
      }
    },
  }
}
