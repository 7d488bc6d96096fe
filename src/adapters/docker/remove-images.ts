import type Docker from 'dockerode'
import { SlipwayError } from '../../kernel/errors.ts'
import { labelNames } from '../../runtime/index.ts'
import { type Engine, engineReason } from './engine.ts'

/** Removes all images of an installation, finished and intermediate; for taking it off a machine. What is in use stays. */
export async function removeImages(engine: Engine, installation: string): Promise<void> {
  const filters = { label: [`${labelNames.installation}=${installation}`] }
  for (;;) {
    const images = await engine.call('images', (docker) =>
      docker.listImages({ all: true, filters } as Docker.ListImagesOptions),
    )
    let removed = 0
    // An image goes after those that stand on it, so several rounds may be needed.
    for (const { Id } of images) removed += (await removeOne(engine, Id)) ? 1 : 0
    if (removed === 0) return
  }
}

async function removeOne(engine: Engine, id: string): Promise<boolean> {
  try {
    await engine.call('remove image', (docker) => docker.getImage(id).remove({ noprune: true }) as Promise<unknown>)
    return true
  } catch (error) {
    if (error instanceof SlipwayError && (error.code === 'conflict' || error.code === 'not_found')) return false
    if (/unrecognized image ID/.test(engineReason(error))) return false
    throw error
  }
}
