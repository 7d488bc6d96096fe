import { getBuild, holdImage } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'
import type { Transaction } from '../../postgres/database.ts'
import { createRelease } from '../../releases/index.ts'
import type { Snapshot } from '../../vars/index.ts'
import { type Deploy, nameOrigin, type Origin } from '../deploy.ts'
import { assertNotRevoked, imageGoneError } from '../image-gone.ts'
import { lockLine } from '../line-store.ts'
import { getDeploy, recordRelease } from '../store.ts'
import type { Step, Tools } from './step.ts'

/**
 * In place of a build: the image of a release that is there already becomes a new release, with the variables of that one or
 * those of today. Images that were removed from the engine by hand are found here, before anything starts.
 */
export const takeImage: Step = async ({ deploy, own, log, tools }) => {
  if (deploy.releaseId !== null) return
  const { from, buildId, environmentId } = deploy
  await assertStillReverts(deploy, tools)
  if (from === null || buildId === null) throw new SlipwayError('internal', `Deploy ${deploy.id} begins from nothing.`)
  const name = nameOrigin(from, deploy.environment)
  const built = await tools.builds.get(buildId)
  if (!(await tools.builds.hasImage(built))) throw imageGoneError({ ...deploy, from })
  log.write('step', `Taking the image of ${name}; nothing is built`)
  log.write('detail', `Image ${built.image?.digest.slice(0, 19) ?? '-'} (build ${built.number})`)
  await tools.db.transaction(async (tx) => {
    // Nobody changes the environment's variables, or takes a value out of its releases, between what is read and what is kept.
    await lockLine(tx, environmentId)
    await holdImage(tx, buildId)
    // A value that it was built with may have been revoked while this stood in line.
    assertNotRevoked({ ...deploy, from }, (await getBuild(tx, buildId)).image)
    const snapshot = await readSnapshot(tx, { deploy, from, tools })
    const release = await createRelease(tx, environmentId, buildId)
    await tools.variables?.keep(tx, release.id, snapshot)
    await recordRelease(tx, own, release.id)
  })
}

/** Something newer may have gone live since it was decided to go back. */
async function assertStillReverts({ reverts, environment }: Deploy, { db }: Tools): Promise<void> {
  if (reverts === null || (await getDeploy(db, reverts)).serves) return
  const why = `${environment} was to go back from what does not serve any more: something newer took its place.`
  throw new SlipwayError('superseded', why)
}

interface Reading {
  readonly deploy: Deploy
  readonly from: Origin
  readonly tools: Tools
}

async function readSnapshot(tx: Transaction, { deploy, from, tools }: Reading): Promise<Snapshot> {
  if (tools.variables === undefined) return []
  if (from.variables === 'environment') return tools.variables.read(tx, deploy.environmentId)
  if (from.releaseId === null) throw new SlipwayError('conflict', 'The release that was to come back was removed.')
  return tools.variables.readOf(tx, from.releaseId)
}
