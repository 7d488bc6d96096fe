import type { Term } from './database.ts'

/** How old an answer may be, by the time at which it was asked for, and for how long whoever takes the place keeps still. */
const freshMs = 1_000

interface Holding {
  /** Asks over the session itself; throws when it has ended. */
  readonly confirm: () => Promise<void>
  readonly nowMs: () => number
  readonly sleep: (ms: number) => Promise<unknown>
}

/**
 * The place is a lock of a session, which is free for others at the moment in which the session ends: its holder may be frozen and
 * know nothing. So the holder asks when its last answer is older than a second, and a new one does nothing in its first
 * second: what one does is done before the other begins.
 */
export function makeTerm({ confirm, nowMs, sleep }: Holding): Term {
  const begunMs = nowMs()
  let askedMs = Number.NEGATIVE_INFINITY
  let asking: Promise<void> | null = null
  const ask = async (): Promise<void> => {
    const nextMs = nowMs()
    await confirm()
    askedMs = nextMs
  }
  return async () => {
    const earlyMs = begunMs + freshMs - nowMs()
    if (earlyMs > 0) await sleep(earlyMs)
    // The answer, too, may have come to a process that was frozen.
    while (nowMs() - askedMs >= freshMs) {
      // One question for all who wait: a session takes one at a time.
      asking ??= ask().finally(() => (asking = null))
      await asking
    }
  }
}
