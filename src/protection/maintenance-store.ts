import type { Transaction } from '../postgres/database.ts'

/** Also of a site that is being worked on already: the words and ranges are others then, not who began it, and when. */
export async function putMaintenance(
  tx: Transaction,
  environmentId: number,
  { message, ranges, by }: { readonly message: string; readonly ranges: readonly string[]; readonly by: string },
): Promise<void> {
  await tx.query(
    `insert into environment_maintenance (environment_id, message, ranges, begun_by) values ($1, $2, $3::cidr[], $4)
     on conflict (environment_id) do update set message = excluded.message, ranges = excluded.ranges`,
    [environmentId, message, ranges, by],
  )
  await countUp(tx, environmentId)
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
