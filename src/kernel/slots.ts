/** At most so many at once; the others wait in the order in which they came. */
export interface Slots {
  /** Waits for a slot. Call what it resolves with to give the slot back, once or more. */
  take(signal: AbortSignal): Promise<() => void>
}

export function makeSlots(count: number): Slots {
  let free = count
  const line: (() => void)[] = []

  const occupied = (): (() => void) => {
    let given = false
    return () => {
      if (given) return
      given = true
      const next = line.shift()
      if (next === undefined) free += 1
      else next()
    }
  }

  const turn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
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

  return {
    async take(signal) {
      signal.throwIfAborted()
      if (free > 0) {
        free -= 1
        return occupied()
      }
      await turn(signal)
      return occupied()
    },
  }
}
