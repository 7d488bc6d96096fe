import { type Exposures, haveAddresses } from '../exposures.ts'
import type { AskedRelease } from './asked-release.ts'

/** What is said at the address of a release that does not run. */
export type ReleaseAnswer =
  /** Nobody learns why: there is no such release, it never went live, or its environment shows none. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'gone'; readonly release: AskedRelease }
  | { readonly kind: 'asleep'; readonly release: AskedRelease }

/**
 * The proxy has let the visitor in by the rules of the environment; which of its releases have an address is looked up once more, for the
 * proxy may not have heard of a change yet.
 */
export function answerFor(release: AskedRelease | null, exposures: Exposures): ReleaseAnswer {
  if (release === null || !release.isActive || !haveAddresses(release, exposures)) return { kind: 'unknown' }
  // Its image goes as that of others does, but nobody has ever seen it at an address.
  if (!release.wasLive) return { kind: 'unknown' }
  return { kind: release.isKept ? 'asleep' : 'gone', release }
}
