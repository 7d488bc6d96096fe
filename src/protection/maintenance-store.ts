import type { Transaction } from '../postgres/database.ts'

interface Wish {
  /** Null: as it was; at first, none. */
  readonly message: string | null
  readonly ranges: readonly string[] | null
  readonly by: string
}

/** Also of a site that is being worked on already: who began it, and when, stay. Returns what holds now. */
export async function putMaintenance(
  tx: Transaction,
  environmentId: number,
  { message, ranges, by }: Wish,
): Promise<{ message: string; allow: string[] }> {
  const [told] = await tx.query<{ message: string; allow: string[] }>(
    `insert into environment_maintenance as m (environment_id, message, ranges, begun_by)
     values ($1, coalesce($2, ''), coalesce($3::cidr[], '{}'), $4)
     on conflict (environment_id) do update set message = coalesce($2, m.message), ranges = coalesce($3::cidr[], m.ranges)
     returning message, ranges::text[] as allow`,
    [environmentId, message, ranges, by],
  )
  await countUp(tx, environmentId)
  return told as { message: string; allow: string[] }
}

/** False when it was not being worked on. */
export async function removeMaintenance(tx: Transaction, environmentId: number): Promise<boolean> {
  const gone = await tx.query('delete from environment_maintenance where environment_id = $1 returning 1', [
    environmentId,
  ])
  if (gone.length === 0) return false
  await countUp(tx, environmentId)
  return true
}

async function countUp(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('update environments set version = version + 1 where id = $1', [environmentId])
}
