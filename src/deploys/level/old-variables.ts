import { labelNames, type SeenContainer } from '../../runtime/index.ts'
import type { GoingOn } from '../../vars/index.ts'
import { type InstanceRecord, listKeptOf, listRevisions } from '../instances.ts'
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

/**
 * The jobs and runs of these releases that go on with a value that was taken out of them, in order of environment and release. Null
 * when it cannot be told now.
 */
export async function listGoingOn(
  { db, runtime, logger }: Tools,
  releaseIds: readonly number[],
): Promise<GoingOn[] | null> {
  try {
    // Before the revisions: what starts meanwhile has none that is older.
    const containers = await runtime.survey()
    const revisions = await listRevisions(db, releaseIds)
    const goesOn = (container: SeenContainer): boolean => {
      const { state, labels } = container
      const releaseId = Number(labels[labelNames.release])
      const isBeside = labels[labelNames.kind] === 'run' || labels[labelNames.kind] === 'cron'
      if (!isBeside || state !== 'running') return false
      return hasOldVariables({ releaseId, variablesRevision: revisions.get(releaseId) ?? null }, container)
    }
    return containers.filter(goesOn).map(asGoingOn).sort(byPlace)
  } catch (error) {
    logger.warn('what goes on with a value that was revoked is not known', { releaseIds, error })
    return null
  }
}

function asGoingOn({ labels }: SeenContainer): GoingOn {
  const job = labels[labelNames.kind] === 'cron' ? (labels[labelNames.process] ?? '').replace(/^cron\./, '') : null
  const release = Number(labels[labelNames.version]?.slice(1) ?? 0)
  return { environment: labels[labelNames.environment] ?? '-', release, job }
}

const byPlace = (a: GoingOn, b: GoingOn): number =>
  a.environment.localeCompare(b.environment, 'en') || a.release - b.release
