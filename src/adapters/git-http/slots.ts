/** At most so many at once; the others wait in the order in which they came. */
export function makeSlots(count: number): (signal: AbortSignal) => Promise<() => void> {
  let free = count
  const waiting: (() => void)[] = []
  const release = (): void => {
    const next = waiting.shift()
    if (next === undefined) free += 1
    else next()
  }
  const once = (): (() => void) => {
    let released = false
    return () => {
      if (released) return
      released = true
      release()
    }
  }
  return (signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted()
      if (free > 0) {
        free -= 1
        return resolve(once())
      }
      const onAbort = (): void => {
        waiting.splice(waiting.indexOf(turn), 1)
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
      }
      const turn = (): void => {
        signal.removeEventListener('abort', onAbort)
        resolve(once())
      }
      waiting.push(turn)
      signal.addEventListener('abort', onAbort, { once: true })
    })
}
