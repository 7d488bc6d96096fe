import type { Clock } from '../kernel/clock.ts'
import { withTimeout } from '../kernel/timeout.ts'
import type { Footing } from './footings.ts'

interface Keeping {
  readonly clock: Clock
  /** `ms`: from its last answer to the first one after. What it rejects with is tried again. */
  readonly record: (ms: number) => Promise<void>
}

interface Outage {
  readonly sinceMs: number
  /** Null: it does not answer yet. */
  readonly backMs: number | null
}

const lookEveryMs = 2_000
const answerLimitMs = 5_000
/** It is back when it has answered for so long: what comes and goes all night is told of once. */
const steadyMs = 10_000

/**
 * Asks again and again whether it is there, and has an outage recorded when that is over, as soon as it can be: what is away may be the
 * database. One that is shorter than the time between two looks may be missed. Ends with the signal.
 */
export async function keepOutages(footing: Footing, { clock, record }: Keeping, signal: AbortSignal): Promise<void> {
  let answeredMs = clock.monotonicMs()
  let outage = null as Outage | null
  while (!signal.aborted) {
    const isThere = await answers(footing, signal)
    if (signal.aborted) return
    const nowMs = clock.monotonicMs()
    if (!isThere) outage = { sinceMs: outage?.sinceMs ?? answeredMs, backMs: null }
    else {
      answeredMs = nowMs
      outage = outage === null ? null : await goOn({ ...outage, backMs: outage.backMs ?? nowMs }, nowMs)
    }
    await clock.sleep(lookEveryMs, signal).catch(() => undefined)
  }

  /** Null when it is recorded. */
  async function goOn(back: Outage & { backMs: number }, nowMs: number): Promise<Outage | null> {
    if (nowMs - back.backMs < steadyMs) return back
    return record(back.backMs - back.sinceMs).then(
      () => null,
      () => back,
    )
  }
}

function answers({ name, check }: Footing, signal: AbortSignal): Promise<boolean> {
  return withTimeout({ ms: answerLimitMs, what: `The ${name}`, signal }, () => check()).then(
    () => true,
    () => false,
  )
}
