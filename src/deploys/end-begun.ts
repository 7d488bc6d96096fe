import { appendEvent } from '../kernel/events.ts'
import type { Transaction } from '../postgres/database.ts'
import { listBegun, requestCancel } from './line-store.ts'
import { endWarm } from './warm/warm-store.ts'

/** A deploy that has begun to start something of a release. */
export interface Begun {
  readonly deployId: number
  readonly environmentId: number
  /** False: its traffic is being moved, which nobody can stop. */
  readonly ends: boolean
}

/**
 * Asks the deploys to end that have begun to start something of these releases, because what they start it with must not be
 * used any more. Those that have not come so far read the releases as they are after this transaction: their row is held until
 * then, and they need it to begin their next step. What of them is kept warm is not any more.
 */
export async function endBegun(
  tx: Transaction,
  { releaseIds, by }: { releaseIds: readonly number[]; by: string },
): Promise<Begun[]> {
  await endWarm(tx, releaseIds)
  const begun: Begun[] = []
  for (const { id, appId, environmentId, step } of await listBegun(tx, releaseIds)) {
    if (step === null || step === 'build') continue
    const outcome = await requestCancel(tx, id, by)
    if (outcome === 'asked')
      await appendEvent(tx, { kind: 'deploy.cancel-asked', appId, environmentId, deployId: id, by })
    begun.push({ deployId: id, environmentId, ends: outcome === 'asked' })
  }
  return begun
}
