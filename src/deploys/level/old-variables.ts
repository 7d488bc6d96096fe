import { labelNames, type SeenContainer } from '../../runtime/index.ts'
import { type InstanceRecord, listKeptOf } from '../instances.ts'
import type { Tools } from '../steps/index.ts'

/*
 * What serves when a value is taken out of its release goes on with it until somebody starts it anew. But it must not start with it once
 * more: the engine, which would bring it back as it was, is told not to, and Slipway starts it with what the release has by then.
 */

/**
 * Whether the container was started with a value that was taken out of its release since. What was warm and serves again, for a newer
 * release, was made of the same values: it has them as long as none was taken out of the newer one.
 */
export function hasOldVariables(
  { releaseId, variablesRevision }: Pick<InstanceRecord, 'releaseId' | 'variablesRevision'>,
  { labels }: Pick<SeenContainer, 'labels'>,
): boolean {
  if (variablesRevision === null) return false
  return labels[labelNames.release] !== String(releaseId) || labels[labelNames.variables] !== variablesRevision
}

/** At once. What cannot be told now is with the next comparison. */
export async function letOldEnd({ db, runtime, logger }: Tools, releaseIds: readonly number[]): Promise<void> {
  try {
    for (const instance of await listKeptOf(db, releaseIds)) {
      const found = instance.containerId === null ? null : await runtime.inspect(instance.containerId)
      if (found?.isKept === true && hasOldVariables(instance, found)) await runtime.letEnd(found.containerId)
    }
  } catch (error) {
    logger.warn('the engine still brings back what has a value that was revoked', { releaseIds, error })
  }
}
