import { type Exposures, haveAddresses } from '../exposures.ts'
import type { AskedRelease } from './asked-store.ts'

/** What is said at the address of a release that does not run. */
export type ReleaseAnswer =
  /** Nobody learns why: there is no such release, it never went live, or its environment shows none. */
  | { readonly kind: 'unknown' }
  /** `rebuiltUrl`, here and below: the address of the release that was made of it anew; null: none was. */
  | { readonly kind: 'gone'; readonly release: AskedRelease; readonly rebuiltUrl: string | null }
  /** It is started: to be asked for again soon. */
  | { readonly kind: 'starting'; readonly release: AskedRelease }
  /** It has run, and finishes the requests that it has: it can be started after that. */
  | { readonly kind: 'ending'; readonly release: AskedRelease }
  | {
      readonly kind: 'refused'
      readonly release: AskedRelease
      readonly why: WakeRefusal
      readonly rebuiltUrl: string | null
    }

/**
 * `failed`: it was tried a moment ago, and did not start or pass its checks; `memory`: the host has too little; `many`: as many of the
 * environment are awake as may be; `busy`: too many others are being started; `image`: somebody has removed its image by hand; `revoked`: a
 * value that it was built with was; `away`: the database or the engine did not answer, so nothing is known of it.
 */
export type WakeRefusal = 'failed' | 'memory' | 'many' | 'busy' | 'image' | 'revoked' | 'away'

/** What is to be done when a release is asked for. */
export type WakeDecision =
  | Extract<ReleaseAnswer, { kind: 'unknown' | 'gone' | 'starting' | 'ending' }>['kind']
  | 'wake'
  | 'revoked'

/**
 * The proxy has let the visitor in by the rules of the environment; which of its releases have an address is looked up once more, for the
 * proxy may not have heard of a change yet.
 */
export function decideAnswer(release: AskedRelease, exposures: Exposures): WakeDecision {
  if (!release.isActive || !haveAddresses(release, exposures)) return 'unknown'
  // Its image goes as that of others does, but nobody has ever seen it at an address.
  if (!release.wasLive) return 'unknown'
  if (release.instance !== null) return release.instance === 'draining' ? 'ending' : 'starting'
  if (!release.isKept) return 'gone'
  return release.holdsRevoked ? 'revoked' : 'wake'
}

/** What is known of the requests to an instance: null is unknown, not none. */
export interface Use {
  readonly open: number | null
  /** Since when none has begun or ended. */
  readonly quietMs: number | null
}

/**
 * When an instance was last used, by the clock of whoever looks. Open requests and websockets are use; what is unknown may be.
 * @param seenMs when it was last seen used, or began to take requests
 */
export function lastUsedMs({ open, quietMs }: Use, { seenMs, nowMs }: { seenMs: number; nowMs: number }): number {
  if (open === null || open > 0) return nowMs
  return quietMs === null ? seenMs : Math.max(seenMs, nowMs - quietMs)
}
