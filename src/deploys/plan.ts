import type { DeployStep } from './deploy.ts'

/** What is known of a running deploy when the next thing to do is decided. */
export interface Observed {
  /** That it goes through, in their order. */
  readonly steps: readonly DeployStep[]
  readonly done: readonly DeployStep[]
  /** Why it failed is recorded; what it had started may not be removed yet. */
  readonly failed: boolean
  readonly cancelRequested: boolean
  /** It was asked to end because a newer push takes its place. */
  readonly superseded: boolean
  /** It may not swap before the other deploys of its strict push have passed their checks. */
  readonly awaitsOthers: boolean
}

/** `wait`: until the others of its strict push have passed, too, or it is asked to end. */
export type Next = { readonly do: DeployStep | 'wait' } | { readonly end: 'failed' | 'cancelled' | 'superseded' }

/**
 * What comes next. The swap is the end of a deploy that goes live: as long as that is not recorded it is done again, because
 * whoever started in between has put the proxy back to what the database says. A cancel counts until then; after it the way
 * back is a rollback.
 */
export function planNext({ steps, done, failed, cancelRequested, superseded, awaitsOthers }: Observed): Next {
  if (failed) return { end: 'failed' }
  if (cancelRequested) return { end: superseded ? 'superseded' : 'cancelled' }
  const step = steps.find((each) => !done.includes(each)) ?? 'swap'
  return { do: step === 'swap' && awaitsOthers ? 'wait' : step }
}
