/*
 * How Slipway starts serving instances again, in addition to the engine. The engine brings back what ended by itself (100 ms
 * later, then twice as long each time up to a minute, from the beginning again when it ran for 10 s): it does so while
 * Slipway is away, too, so that stays its work. Slipway starts what the engine leaves down: stopped or removed by hand, or
 * refused by the engine when it was to start. Both never work on one instance at once: Slipway waits until the engine says that
 * it has given up.
 */

const longestDelayMs = 5 * 60_000

/** An instance that has run this long without an end has recovered: what was counted is forgotten. */
export const recoveredAfterMinutes = 10

/** So many ends within `recoveredAfterMinutes` are a crash loop. */
export const crashLoopEnds = 5

/** How long Slipway waits after its n-th start in a row until it tries again: 1 s, 2 s, 4 s … 5 min. */
export function delayAfterStartMs(attempt: number): number {
  return Math.min(1000 * 2 ** (Math.max(1, attempt) - 1), longestDelayMs)
}
