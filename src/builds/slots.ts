/** A fixed number of places for builds on this machine, given in the order of asking. */
export interface Slots {
  /** Waits for a place; `onWait` hears how many are before. Call what it resolves with to give the place back. */
  take(signal: AbortSignal, onWait: (ahead: number) => void): Promise<() => void>
}

export function makeSlots(count: number): Slots {
  let free = count
  const line: (() => void)[] = []

  const release = (): void => {
    const next = line.shift()
    if (next === undefined) free += 1
    else next()
  }
  const once = (): (() => void) => {
    let given = false
    return () => {
      if (!given) release()
      given = true
    }
  }

  return {
    async take(signal, onWait) {
      signal.throwIfAborted()
      if (free > 0) {
        free -= 1
        return once()
      }
      onWait(line.length)
      await new Promise<void>((resolve, reject) => {
        const leave = (): void => {
          line.splice(line.indexOf(enter), 1)
          reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
        }
        const enter = (): void => {
          signal.removeEventListener('abort', leave)
          resolve()
        }
        line.push(enter)
        signal.addEventListener('abort', leave, { once: true })
      })
      return once()
    },
  }
}
