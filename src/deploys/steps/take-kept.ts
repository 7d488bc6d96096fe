import { type Build, type BuildWish, tryHoldImage } from '../../builds/index.ts'
import { findImageOrigin, type ImageOrigin } from '../image-origin-store.ts'
import { recordBuild } from '../store.ts'
import type { StepContext } from './step.ts'

/**
 * In place of a build: the image that was made of the same before, whichever environment it was made for. Null when none is kept, or
 * the engine has it no more (somebody removed it by hand): then it is built.
 */
export async function takeKept({ log, own, tools }: StepContext, wish: BuildWish): Promise<Build | null> {
  for (const kept of await tools.builds.listKept(wish)) {
    if (!(await tools.builds.hasImage(kept))) continue
    const origin = await tools.db.transaction(async (tx) => {
      if (!(await tryHoldImage(tx, kept.id))) return null
      await recordBuild(tx, own, kept.id)
      return findImageOrigin(tx, kept.id)
    })
    if (origin === null) continue
    log.write('step', `Image of build ${kept.number} (${describeOrigin(origin)}) is taken: same commit and settings`)
    return kept
  }
  return null
}

/** `v3 of test, 2 h ago` */
export function describeOrigin({ release, environment, ageMs }: ImageOrigin): string {
  const age = `${inWords(ageMs)} ago`
  return release === null || environment === null ? age : `v${release} of ${environment}, ${age}`
}

function inWords(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000)
  if (minutes < 1) return `${Math.floor(Math.max(0, ms) / 1000)} s`
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`
}
