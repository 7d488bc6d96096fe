/** One at a time, in the order of asking. */
export type Exclusively = <T>(work: () => Promise<T>) => Promise<T>

export function makeMutex(): Exclusively {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work, work)
    last = mine.catch(() => undefined)
    return mine
  }
}
