import { setTimeout as delay } from 'node:timers/promises'

/** Time as modules see it, so that decisions about time can be tested without waiting. */
export interface Clock {
  /** Wall clock; for display only. Leases and due times use the database's clock. */
  now(): Date
  /** Milliseconds that only ever grow; for time limits. */
  monotonicMs(): number
  /** Resolves after `ms`; rejects with an AbortError when the signal fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
}
