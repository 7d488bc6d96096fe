/** Time that only goes on when somebody says so: what is due next is done next. */
export interface Timeline {
  nowMs(): number
  after(ms: number, what: () => void): void
  /** As of a clock: rejects when the signal fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Does what is due next; false when nothing is. */
  step(): boolean
}

interface Due {
  readonly atMs: number
  readonly order: number
  what: (() => void) | null
}

const comesBefore = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export function makeTimeline(): Timeline {
  let nowMs = 0
  let count = 0
  const heap: Due[] = []

  const push = (due: Due): void => {
    let at = heap.push(due) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!comesBefore(due, heap[above] as Due)) break
      heap[at] = heap[above] as Due
      at = above
    }
    heap[at] = due
  }
  const pop = (): Due | null => {
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined) return null
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && comesBefore(heap[below + 1] as Due, heap[below] as Due)) below += 1
      if (!comesBefore(heap[below] as Due, last)) break
      heap[at] = heap[below] as Due
      at = below
    }
    heap[at] = last
    return first
  }
  const add = (ms: number, what: () => void): Due => {
    const due = { atMs: nowMs + Math.max(0, ms), order: (count += 1), what }
    push(due)
    return due
  }

  return {
    nowMs: () => nowMs,
    after: (ms, what) => void add(ms, what),
    sleep(ms, signal) {
      if (signal === undefined) return new Promise((resolve) => void add(ms, resolve))
      return new Promise((resolve, reject) => {
        const wake = (): void => {
          due.what = null
          reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
        }
        const due = add(ms, () => {
          signal.removeEventListener('abort', wake)
          resolve()
        })
        if (signal.aborted) wake()
        else signal.addEventListener('abort', wake, { once: true })
      })
    },
    step() {
      for (let due = pop(); due !== null; due = pop()) {
        if (due.what === null) continue
        nowMs = due.atMs
        due.what()
        return true
      }
      return false
    },
  }
}
