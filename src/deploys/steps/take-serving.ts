import { holdImage } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import { getRelease } from '../../releases/index.ts'
import { findServingRelease, recordSameRelease } from '../store.ts'
import type { Step } from './step.ts'

/**
 * In place of a build: the release that the environment serves now, which a deploy that came before may have changed since
 * somebody asked. It stays the same: no other deploy of the environment runs meanwhile.
 */
export const takeServing: Step = async ({ deploy, own, tools }) => {
  if (deploy.releaseId !== null) return
  await tools.db.transaction(async (tx) => {
    const serving = await findServingRelease(tx, deploy.environmentId)
    if (serving === null) throw new SlipwayError('conflict', `${deploy.environment} serves nothing.`)
    const { buildId } = await getRelease(tx, serving.id)
    await holdImage(tx, buildId)
    await recordSameRelease(tx, own, { releaseId: serving.id, buildId })
  })
}
