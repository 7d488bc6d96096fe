import { describeLock, type EnvironmentLock } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import type { DeployKind } from './deploy.ts'
import { nameEnvironment } from './line-store.ts'

/** What whoever wants a deploy of a locked environment is told. */
export async function lockedError(
  q: Queryable,
  { environmentId, lock, kind }: { environmentId: number; lock: EnvironmentLock; kind: DeployKind },
): Promise<SlipwayError> {
  const { app, environment } = await nameEnvironment(q, environmentId)
  const rollbacks = kind === 'rollback' ? ' (a lock with --allow-rollbacks lets rollbacks through)' : ''
  return new SlipwayError('conflict', `${environment} of ${app} is ${describeLock(lock)}.`, {
    hint: `Unlock it first: slipway unlock ${environment} -a ${app}${rollbacks}`,
  })
}
