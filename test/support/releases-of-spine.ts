import { tryHoldImage } from '../../src/builds/index.ts'
import { makePromotions, type Promotions } from '../../src/promotions/index.ts'
import { makeReleases } from '../../src/releases/index.ts'
import { makeRollbacks, type Rollbacks } from '../../src/rollbacks/index.ts'
import type { Spine } from './spine.ts'

/** Going back and promoting on the spine. */
export function makeMoves(spine: Spine): { rollbacks: Rollbacks; promotions: Promotions } {
  const { db, vars } = spine
  const { builds, variables } = spine.tools
  if (variables === undefined) throw new Error('a spine has variables')
  const parts = { db, vars, builds, deploys: spine.deploys, releases: makeReleases({ db, tryHoldImage }) }
  return { rollbacks: makeRollbacks(parts), promotions: makePromotions({ ...parts, variables }) }
}
