import type { Transaction } from '../postgres/database.ts'
import type { EnvironmentLock } from './environment.ts'

export interface LockRow {
  readonly locked_at: Date | null
  readonly locked_by: string | null
  readonly lock_reason: string | null
  readonly lock_waits: boolean
  readonly lock_allows_rollbacks: boolean
}

/** What `toLock` reads, of a table `environments` of this name. */
export const lockColumns = (table: string): string =>
  ['locked_at', 'locked_by', 'lock_reason', 'lock_waits', 'lock_allows_rollbacks']
    .map((column) => `${table}.${column}`)
    .join(', ')

export function toLock(row: LockRow): EnvironmentLock | null {
  if (row.locked_at === null) return null
  return {
    reason: row.lock_reason ?? '',
    by: row.locked_by ?? '',
    since: row.locked_at,
    waits: row.lock_waits,
    allowsRollbacks: row.lock_allows_rollbacks,
  }
}

/** Null: it is unlocked. */
export async function recordLock(
  tx: Transaction,
  environmentId: number,
  lock: Omit<EnvironmentLock, 'since'> | null,
): Promise<void> {
  await tx.query(
    `update environments set locked_at = case when $2::text is null then null else now() end, lock_reason = $2, locked_by = $3,
       lock_waits = $4, lock_allows_rollbacks = $5, version = version + 1
     where id = $1`,
    [environmentId, lock?.reason ?? null, lock?.by ?? null, lock?.waits ?? false, lock?.allowsRollbacks ?? false],
  )
}
