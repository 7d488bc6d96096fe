import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Principal } from './policy.ts'

/** Looked up by hash: the token itself is nowhere in the database. */
export async function findTokenOwner(q: Queryable, hash: Buffer): Promise<Principal | null> {
  const rows = await q.query<Principal>('select name, role from tokens where hash = $1', [hash])
  return rows[0] ?? null
}

/** The admin has this token afterwards, and no other. */
export async function replaceAdminToken(tx: Transaction, hash: Buffer): Promise<void> {
  await tx.query(`delete from tokens where name = 'admin' and hash <> $1`, [hash])
  await tx.query(`insert into tokens (name, hash, role) values ('admin', $1, 'admin') on conflict (hash) do nothing`, [
    hash,
  ])
}
