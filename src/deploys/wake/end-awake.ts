import { listAwakeOf } from '../instances.ts'
import type { Tools } from '../steps/step.ts'
import { recordAsleep } from './awake-store.ts'
import { putToSleep } from './lead-awake.ts'

/**
 * Ends what of these releases runs for their own addresses, because it was started with what must not be used any more: whoever asks
 * again starts it anew. What is just being started ends by itself when it sees its row. What cannot be ended now does when nobody has
 * used it for a while.
 */
export async function endAwake(
  tools: Tools,
  releaseIds: readonly number[],
  retire: (deployId: number) => void,
): Promise<void> {
  try {
    for (const instance of await listAwakeOf(tools.db, releaseIds)) {
      if (instance.state === 'waking') await recordAsleep(tools.db, instance.id)
      else if (await putToSleep(tools, instance)) retire(instance.deployId)
    }
  } catch (error) {
    tools.logger.warn('releases that are awake could not be put to sleep', { releaseIds, error })
  }
}
