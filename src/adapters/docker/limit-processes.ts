import type { Logger } from '../../kernel/logger.ts'
import { type Engine, engineReason } from './engine.ts'

/** Enough for `make -j` on a large machine, far below what a kernel has. */
const processes = 4096

/**
 * Limits the processes of a build's running step. The builder's API has no such limit, so the step's container gets it when
 * it appears; without it a fork bomb in a Dockerfile takes all the process ids of the host. Goes on in the background.
 */
export function limitProcesses(engine: Engine, filters: { label: string[] }, logger: Logger): void {
  // Found by labels, never by the id in the output: a command could print another's.
  engine
    .call('limit a build step', async (docker, abortSignal) => {
      const found = await docker.listContainers({ all: true, filters, abortSignal })
      await Promise.all(found.map(({ Id }) => docker.getContainer(Id).update({ PidsLimit: processes, abortSignal })))
    })
    .catch((error: unknown) => {
      // The step may have ended meanwhile.
      logger.debug('a build step was not limited', { ...filters, reason: engineReason(error) })
    })
}
