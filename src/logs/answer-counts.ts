/** How environments answer, counted from the proxy's lines, of those that somebody asks about. */
export function makeAnswerCounts() {
  const asked = new Map<number, Set<{ total: number; failed: number; readonly sinceMs: number }>>()
  return {
    /** One request that the proxy has answered; status null: its client went away before there was an answer. */
    add({ environmentId, status, at }: { environmentId: number; status: number | null; at: Date }): void {
      if (status === null) return
      for (const count of asked.get(environmentId) ?? []) {
        if (at.getTime() < count.sinceMs) continue
        count.total += 1
        if (status >= 500) count.failed += 1
      }
    },
    /** From now on, until `end`. */
    count(environmentId: number): { read(): { total: number; failed: number }; end(): void } {
      const count = { total: 0, failed: 0, sinceMs: Date.now() }
      const all = asked.get(environmentId) ?? new Set()
      asked.set(environmentId, all.add(count))
      return {
        read: () => ({ total: count.total, failed: count.failed }),
        end() {
          all.delete(count)
          if (all.size === 0) asked.delete(environmentId)
        },
      }
    },
  }
}

export type AnswerCounts = ReturnType<typeof makeAnswerCounts>
