import { type DeployStep, deploySteps } from './deploy.ts'

/** What is known of a running deploy when the next thing to do is decided. */
export interface Observed {
  readonly done: readonly DeployStep[]
  readonly cancelRequested: boolean
}

export type Next = { readonly do: DeployStep } | { readonly end: 'live' | 'cancelled' }

/** What comes next. A cancel counts until the swap is done: after it the new release is live, and the way back is a rollback. */
export function planNext(observed: Observed): Next {
  const step = deploySteps.find((candidate) => !observed.done.includes(candidate))
  if (step === undefined) return { end: 'live' }
  return observed.cancelRequested ? { end: 'cancelled' } : { do: step }
}
