import { SlipwayError } from '../kernel/errors.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Transaction } from '../postgres/database.ts'
import { type ChangeOptions, openForChange } from './change.ts'
import { byOf, type EnvironmentLock } from './environment.ts'
import { recordLock } from './lock-store.ts'

export type LockWish = Pick<EnvironmentLock, 'reason' | 'waits' | 'allowsRollbacks'>

/** `locked by anna since 2026-11-21 11:20 UTC: “the big sale”` */
export function describeLock({ by, since, reason }: EnvironmentLock): string {
  return `locked by ${by} since ${since.toISOString().slice(0, 16).replace('T', ' ')} UTC: “${reason}”`
}

/** Locks an environment. `conflict` when it is locked already: whoever did that relies on it. */
export async function setLock(
  tx: Transaction,
  id: number,
  wish: LockWish,
  { by, ifVersion }: ChangeOptions & { readonly by: string },
): Promise<void> {
  const { app, appId, name, lock } = await openForChange(tx, id, ifVersion)
  if (lock !== null) {
    throw new SlipwayError('conflict', `${name} of ${app} is ${describeLock(lock)}.`, {
      hint: `To lock it in another way, unlock it first: slipway unlock ${name} -a ${app}`,
    })
  }
  await recordLock(tx, id, { ...wish, by })
  const data = { environment: name, ...wish }
  await appendEvent(tx, { kind: 'environment.locked', appId, environmentId: id, ...byOf(by), data })
}

/** Returns the lock that it had; null, and nothing is changed, when it had none. */
export async function clearLock(
  tx: Transaction,
  id: number,
  { by, ifVersion }: ChangeOptions & { readonly by: string },
): Promise<EnvironmentLock | null> {
  const { appId, name, lock } = await openForChange(tx, id, ifVersion)
  if (lock === null) return null
  await recordLock(tx, id, null)
  const data = { environment: name, reason: lock.reason, lockedBy: lock.by }
  await appendEvent(tx, { kind: 'environment.unlocked', appId, environmentId: id, ...byOf(by), data })
  return lock
}
