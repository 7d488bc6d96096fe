import { setTimeout } from 'node:timers/promises'
import { asSlipwayError } from '../kernel/errors.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import type { GitDependencies } from './dependencies.ts'
import { closeStrictPush } from './finish-push.ts'
import { heldRefs, zeroId } from './repositories.ts'
import * as store from './store.ts'
import { judgeStrict, type Verdict } from './strict-verdict.ts'

/*
 * The end of a strict push: its refs move when all of its deploys are live, and else they do not. Safe to repeat from
 * any point: what was interrupted is begun again at the next start.
 */

const lookEveryMs = 250
const retryMs = 1_000

/**
 * Waits until all deploys of the push have ended, whoever still reads, and settles it; each of them has its time limits. Null when
 * Slipway stops before, or the app is gone.
 */
export async function settleStrictPush(deps: GitDependencies, push: store.UnfinishedPush): Promise<Verdict | null> {
  const { db, logger, stopped } = deps
  let waitMs = 0
  while (!stopped.aborted) {
    await setTimeout(waitMs, undefined, { signal: stopped }).catch(() => undefined)
    if (stopped.aborted) break
    try {
      const found = await store.findStrictDeploys(db, push.id)
      if (found === null) return null
      const verdict = judgeStrict(found.deploys, found.expected)
      if (verdict !== null) return await carryOut(deps, push, verdict)
      waitMs = lookEveryMs
    } catch (error) {
      logger.error('a strict push could not be settled yet', { app: push.app, pushId: push.id, error })
      waitMs = retryMs
    }
  }
  return null
}

async function carryOut(deps: GitDependencies, push: store.UnfinishedPush, verdict: Verdict): Promise<Verdict> {
  faultPoint('push.strict.ended')
  const final = verdict.accepted ? await moveAll(deps, push, verdict) : verdict
  faultPoint('push.strict.moved')
  await closeStrictPush(deps, push, final)
  faultPoint('push.strict.closed')
  await letGo(deps, push)
  return final
}

/** All refs at once, from where they stood when the push came. The lease keeps other pushes away until it is recorded. */
async function moveAll(deps: GitDependencies, push: store.UnfinishedPush, verdict: Verdict): Promise<Verdict> {
  const now = await deps.repositories.listRefs(push.app, 'refs/')
  // A crash came after the move.
  if (push.updates.every((update) => (now.get(update.ref) ?? zeroId) === update.new)) return verdict
  try {
    await deps.repositories.moveRefs(push.app, push.updates)
    return verdict
  } catch (thrown) {
    const { code, message } = asSlipwayError(thrown)
    if (code !== 'conflict') throw thrown
    return {
      ...verdict,
      accepted: false,
      reason: `strict: all deploys are live, but a branch was moved meanwhile: ${message}`,
    }
  }
}

/** Best effort: what is left is found at the next start. Deploys hold their commits themselves. */
export async function letGo(
  { repositories, logger }: GitDependencies,
  { id, app }: Pick<store.UnfinishedPush, 'id' | 'app'>,
): Promise<void> {
  try {
    const held = [...(await repositories.listRefs(app, heldRefs.ofPush(id))).keys()]
    if (held.length === 0) return
    await repositories.moveRefs(
      app,
      held.map((ref) => ({ ref, old: null, new: zeroId })),
    )
  } catch (error) {
    logger.warn('the commits of a push are still held by the push', { app, pushId: id, error })
  }
}
