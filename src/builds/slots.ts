import { type BuildLine, enter, inOrder, leave, type LinedBuild, takeNext } from './line.ts'

/** So many builds at once; the others wait in a line in which apps take turns. */
export interface BuildSlots {
  /**
   * Waits for a slot. `onPlace` hears how many wait before, and again when that changes. Rejects with the signal's reason.
   * Call what it resolves with to give the slot back, once or more.
   */
  take(build: LinedBuild, signal: AbortSignal, onPlace: (before: number) => void): Promise<() => void>
}

interface Waiting {
  readonly begin: () => void
  readonly onPlace: (before: number) => void
  told: number | null
}

export function makeBuildSlots(count: number): BuildSlots {
  let free = count
  let line: BuildLine = []
  const waiting = new Map<number, Waiting>()

  const fill = (): void => {
    while (free > 0) {
      const next = takeNext(line)
      if (next === null) break
      line = next.line
      free -= 1
      waiting.get(next.id)?.begin()
    }
    for (const [before, id] of inOrder(line).entries()) {
      const one = waiting.get(id)
      if (one === undefined || !isWorthTelling(one.told, before)) continue
      one.told = before
      one.onPlace(before)
    }
  }

  const occupied = (): (() => void) => {
    let given = false
    return () => {
      if (given) return
      given = true
      free += 1
      fill()
    }
  }

  return {
    async take(build, signal, onPlace) {
      signal.throwIfAborted()
      await new Promise<void>((resolve, reject) => {
        const giveUp = (): void => {
          waiting.delete(build.id)
          line = leave(line, build.id)
          reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
          fill()
        }
        const begin = (): void => {
          waiting.delete(build.id)
          signal.removeEventListener('abort', giveUp)
          resolve()
        }
        signal.addEventListener('abort', giveUp, { once: true })
        waiting.set(build.id, { begin, onPlace, told: null })
        line = enter(line, build)
        fill()
      })
      return occupied()
    },
  }
}

/** Far behind, each step forward is no news: a line of a thousand would be told a million times. */
function isWorthTelling(told: number | null, before: number): boolean {
  if (told === null) return true
  return before !== told && (before < 10 || before > told || before <= told * 0.9)
}
