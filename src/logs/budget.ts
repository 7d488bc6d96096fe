import type { Clock } from '../kernel/clock.ts'

/** How many bytes may be taken in: a burst at once, then so many a second. */
export interface Budget {
  /** Takes `bytes`; resolves when they are paid for. True when that took waiting. */
  spend(bytes: number, signal: AbortSignal): Promise<boolean>
}

export function makeBudget({
  clock,
  burst,
  perSecond,
}: {
  clock: Pick<Clock, 'monotonicMs' | 'sleep'>
  burst: number
  perSecond: number
}): Budget {
  let left = burst
  let atMs = clock.monotonicMs()
  return {
    async spend(bytes, signal) {
      const nowMs = clock.monotonicMs()
      left = Math.min(burst, left + ((nowMs - atMs) / 1000) * perSecond) - bytes
      atMs = nowMs
      if (left >= 0) return false
      await clock.sleep((-left / perSecond) * 1000, signal).catch(() => undefined)
      return true
    },
  }
}
