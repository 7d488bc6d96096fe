import type { Deploy } from './api-types.ts'

/** A deploy's state as people read it: what it waits for, or what it is at. */
export function describeState({ state, step, waitingFor, cancelRequested }: Deploy): string {
  if (state !== 'waiting' && state !== 'running') return state
  if (cancelRequested) return `${state} (to be cancelled)`
  if (waitingFor !== null) return waitingFor.charAt(0).toLowerCase() + waitingFor.slice(1)
  return state === 'running' && step !== null ? `running (${step})` : state
}
