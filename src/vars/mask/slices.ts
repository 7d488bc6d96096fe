import { setImmediate as othersFirst } from 'node:timers/promises'

/** Work that can be broken off wherever it yields. */
export type Sliced<T> = Generator<void, T>

/** No longer than this at a time: requests and leases wait meanwhile. */
const sliceMs = 8

export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

/** What takes less than one slice is done when this returns. */
export async function inSlices<T>(work: Sliced<T>): Promise<T> {
  for (let begunMs = performance.now(); ; ) {
    const step = work.next()
    if (step.done === true) return step.value
    if (performance.now() - begunMs < sliceMs) continue
    await othersFirst()
    begunMs = performance.now()
  }
}

/** Every so many things are a place to break off. */
export const sliceSize = 500
