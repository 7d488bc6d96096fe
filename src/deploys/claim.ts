import type { Clock } from '../kernel/clock.ts'
import type { Database } from '../postgres/database.ts'
import { violates } from '../postgres/index.ts'
import { claimNextDeploy, listOwnRunning } from './line-store.ts'

/** A deploy that is ours to run; null for its environment: an earlier claim had been made without our hearing of it. */
export interface Claim {
  readonly id: number
  readonly environmentId: number | null
  /** By the clock; the answer may have come much later. */
  readonly askedMs: number
}

/**
 * Makes the function that takes the next deploy that can begin, null when there is none. What a claim whose answer was lost
 * took is handed out by the next one.
 */
export function makeClaim(
  { db, clock }: { readonly db: Database; readonly clock: Clock },
  worker: string,
  options: { readonly isRunning: (id: number) => boolean; readonly stopped: AbortSignal },
): () => Promise<Claim | null> {
  let isUnsure = false
  return async () => {
    for (;;) {
      if (options.stopped.aborted) return null
      const askedMs = clock.monotonicMs()
      try {
        const made = isUnsure ? (await listOwnRunning(db, worker)).find((id) => !options.isRunning(id)) : undefined
        if (made !== undefined) return { id: made, environmentId: null, askedMs }
        isUnsure = false
        const claimed = await db.transaction((tx) => claimNextDeploy(tx, worker))
        return claimed === null ? null : { ...claimed, askedMs }
      } catch (error) {
        if (violates(error, 'one_running_deploy')) continue
        isUnsure = true
        throw error
      }
    }
  }
}
