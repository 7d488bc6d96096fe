import type { Deploy } from './api-types.ts'
import { describeReason } from './describe-release.ts'

/** A deploy's state as people read it: what it waits for, what it is at, and of those that went live which one still is. */
export function describeState({ state, step, serves, waitingFor, cancelRequested }: Deploy): string {
  if (state === 'live') return serves ? 'live' : 'was live'
  if (state !== 'waiting' && state !== 'running') return state
  if (cancelRequested) return `${state} (to be cancelled)`
  if (waitingFor !== null) return waitingFor.charAt(0).toLowerCase() + waitingFor.slice(1)
  return state === 'running' && step !== null ? `running (${step})` : state
}

/** Why there is a deploy: `push to develop`, `rollback to v6`. */
export function describeWhy(deploy: Deploy): string {
  return describeReason({ deploy: { ...deploy, rebuildOf: null }, environment: deploy.environment })
}

/** How a deploy that was to end has ended, and how long it had run. */
export function describeEnd({ id, state, step, startedAt, finishedAt }: Deploy): string {
  const at = state === 'live' || step === null ? '' : ` in its step ${step}`
  const ms = startedAt === null || finishedAt === null ? null : Date.parse(finishedAt) - Date.parse(startedAt)
  const after = ms === null || Number.isNaN(ms) ? '' : `, ${(Math.max(0, ms) / 1000).toFixed(1)} s after it began`
  return `Deploy ${id} is ${state}${at}${after}.`
}
