import type { Logger } from '../../kernel/logger.ts'
import { type Engine, engineReason } from './engine.ts'

/** Enough for `make -j` on a large machine, far below what a kernel has. */
const processes = 4096

/**
 * Limits the processes of a build's running step. The builder's API has no such limit, so the step's container gets it when
 * it appears; without it a fork bomb in a Dockerfile takes all the process ids of the host. Goes on in the background, one
 * look at a time however often it is called: the output that calls it can be made by the build.
 */
export function makeProcessLimit(engine: Engine, filters: { label: string[] }, logger: Logger): () => void {
  let looking = false
  let again = false

  async function look(): Promise<void> {
    looking = true
    do {
      again = false
      // The step may have ended meanwhile.
      await limitContainers(engine, filters).catch((error: unknown) => {
        logger.debug('a build step was not limited', { ...filters, reason: engineReason(error) })
      })
    } while (again)
    looking = false
  }

  return () => {
    if (looking) again = true
    else void look()
  }
}

/** Found by labels, never by the id in the output: a command could print another's. */
function limitContainers(engine: Engine, filters: { label: string[] }): Promise<unknown> {
  return engine.call('limit a build step', async (docker) => {
    const found = await docker.listContainers({ all: true, filters })
    const update = { PidsLimit: processes }
    // Each by itself: one that has ended keeps none of the others from its limit.
    await Promise.allSettled(found.map(({ Id }) => docker.getContainer(Id).update(update)))
  })
}
