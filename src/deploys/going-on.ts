import { labelNames, type SeenContainer } from '../runtime/index.ts'
import type { GoingOn } from '../vars/index.ts'
import { listRevisions } from './instances.ts'
import type { Tools } from './steps/step.ts'

/**
 * What is run beside the instances of these releases with a value that was taken out of them since, in order of environment and
 * release. Null when the engine cannot be asked.
 */
export async function listGoingOn(
  { db, runtime, logger }: Pick<Tools, 'db' | 'runtime' | 'logger'>,
  releaseIds: readonly number[],
): Promise<GoingOn[] | null> {
  try {
    const revisions = await listRevisions(db, releaseIds)
    const goesOn = ({ state, labels }: SeenContainer): boolean => {
      const revision = revisions.get(Number(labels[labelNames.release])) ?? null
      const isBeside = labels[labelNames.kind] === 'run' || labels[labelNames.kind] === 'cron'
      return isBeside && state === 'running' && revision !== null && labels[labelNames.variables] !== revision
    }
    return (await runtime.survey()).filter(goesOn).map(asGoingOn).sort(byPlace)
  } catch (error) {
    logger.warn('what goes on with a value that was revoked is not known', { releaseIds, error })
    return null
  }
}

function asGoingOn({ labels }: SeenContainer): GoingOn {
  return {
    environment: labels[labelNames.environment] ?? '-',
    release: Number(labels[labelNames.version]?.slice(1) ?? 0),
    job: labels[labelNames.kind] === 'cron' ? (labels[labelNames.process] ?? '').replace(/^cron\./, '') : null,
  }
}

const byPlace = (a: GoingOn, b: GoingOn): number =>
  a.environment.localeCompare(b.environment, 'en') || a.release - b.release
