import { type DeployState, hasEnded } from './deploy.ts'

/*
 * Deploys of one strict push: none swaps before all have passed their checks. Pure: who asks holds their rows meanwhile.
 */

export interface Sibling {
  readonly id: number
  readonly environmentId: number
  readonly environment: string
  readonly state: DeployState
  /** It is being cancelled, or has failed and is being undone. */
  readonly isEnding: boolean
  /** All have passed, and each swaps. */
  readonly agreed: boolean
  /** Since its checks passed; null: they have not. */
  readonly passedForMs: number | null
}

export type Agreement =
  | { readonly do: 'wait' | 'agree' | 'nothing' }
  /** All that have not ended are to end, because of this one; null: because it took too long. */
  | { readonly do: 'break'; readonly because: Sibling | null }

/** One that has passed holds its environment's line and its new instances' memory: no longer than this. */
export const longestWaitMs = 60 * 60_000

export function planAgreement(siblings: readonly Sibling[]): Agreement {
  if (siblings.every(({ state, agreed }) => agreed || hasEnded(state))) return { do: 'nothing' }
  const broken = findBroken(siblings)
  if (broken !== null) return { do: 'break', because: broken }
  if (siblings.every(({ passedForMs }) => passedForMs !== null)) return { do: 'agree' }
  const isLate = siblings.some(({ passedForMs }) => (passedForMs ?? 0) > longestWaitMs)
  return isLate ? { do: 'break', because: null } : { do: 'wait' }
}

/** One that ended, or ends, without going live. Those that end because of it come after it. */
export function findBroken(siblings: readonly Sibling[]): Sibling | null {
  const broken = siblings.filter(({ state, isEnding }) => isEnding || (hasEnded(state) && state !== 'live'))
  return broken.find(({ state }) => hasEnded(state)) ?? broken[0] ?? null
}

/** What the pusher of the others is told. */
export function tellBroken(because: Pick<Sibling, 'id' | 'environment' | 'state'> | null): string {
  if (because === null) {
    const minutes = longestWaitMs / 60_000
    return `Not all deploys of this strict push passed their checks within ${minutes} minutes, so none of them swaps.`
  }
  const how = because.state === 'cancelled' ? 'was cancelled' : 'did not go live'
  return `The deploy to ${because.environment} of the same strict push ${how} (deploy ${because.id}), so none of them swaps.`
}
