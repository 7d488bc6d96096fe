import { type DeployState, hasEnded } from '../deploys/index.ts'

/*
 * What becomes of a strict push. Pure.
 */

/** A deploy that the push caused. */
export interface StrictDeploy {
  readonly id: number
  readonly environment: string
  readonly state: DeployState
}

export interface Verdict {
  readonly accepted: boolean
  /** Why its refs do not move, in one line; empty when they do. */
  readonly reason: string
  readonly deploys: readonly StrictDeploy[]
}

/**
 * Null: some have not ended. A push is accepted only when every deploy that it caused is live: one whose environment was removed
 * meanwhile is not. Where a swap failed after another went live, that one stays: it is told, and nothing is taken back behind
 * anybody's back.
 */
export function judgeStrict(deploys: readonly StrictDeploy[], expected: number): Verdict | null {
  if (deploys.some(({ state }) => !hasEnded(state))) return null
  const live = deploys.filter(({ state }) => state === 'live')
  if (live.length === expected) return { accepted: true, reason: '', deploys }
  const others = deploys.filter(({ state }) => state !== 'live')
  const failed = others.map(({ id, environment, state }) => `deploy ${id} to ${environment}: ${state}`)
  const gone = expected > deploys.length ? ['an environment was removed'] : []
  const liveIn = live.length === 0 ? '' : `; it is live in ${live.map(({ environment }) => environment).join(', ')}`
  return { accepted: false, reason: `strict: ${[...failed, ...gone].join(', ')}${liveIn}`, deploys }
}
