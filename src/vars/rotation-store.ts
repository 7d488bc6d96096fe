import type { Queryable, Transaction } from '../postgres/database.ts'

interface Sealed {
  readonly keyId: number
  readonly sealed: Buffer
}
type SealedVariable = Sealed & { readonly environmentId: number; readonly name: string }
type SealedRevoked = Sealed & { readonly id: number; readonly appId: number; readonly name: string }
type SealedRelease = Sealed & { readonly releaseId: number }

/** What is sealed with keys before this one. */
export async function countOlder(q: Queryable, current: number): Promise<number> {
  const rows = await q.query<{ count: number }>(
    `select (select count(*) from variables where key_id < $1)
       + (select count(*) from releases where variables_key_id < $1)
       + (select count(*) from revoked_values where key_id < $1) as count`,
    [current],
  )
  return rows[0]?.count ?? 0
}

/** Passes over what others hold: it waits for nobody. */
export async function takeVariables(tx: Transaction, current: number, limit: number): Promise<SealedVariable[]> {
  return tx.query(
    `select environment_id as "environmentId", name, key_id as "keyId", sealed from variables
     where key_id < $1 limit $2 for update skip locked`,
    [current, limit],
  )
}

export async function putVariable(tx: Transaction, v: SealedVariable): Promise<void> {
  await tx.query('update variables set key_id = $3, sealed = $4 where environment_id = $1 and name = $2', [
    ...[v.environmentId, v.name, v.keyId, v.sealed],
  ])
}

export async function takeReleases(tx: Transaction, current: number, limit: number): Promise<SealedRelease[]> {
  return tx.query(
    `select id as "releaseId", variables_key_id as "keyId", variables as sealed from releases
     where variables_key_id < $1 limit $2 for no key update skip locked`,
    [current, limit],
  )
}

export async function putRelease(tx: Transaction, { releaseId, keyId, sealed }: SealedRelease): Promise<void> {
  await tx.query('update releases set variables_key_id = $2, variables = $3 where id = $1', [releaseId, keyId, sealed])
}

export async function takeRevoked(tx: Transaction, current: number, limit: number): Promise<SealedRevoked[]> {
  return tx.query(
    `select id, app_id as "appId", name, key_id as "keyId", sealed from revoked_values
     where key_id < $1 limit $2 for update skip locked`,
    [current, limit],
  )
}

export async function putRevoked(tx: Transaction, { id, keyId, sealed }: Sealed & { id: number }): Promise<void> {
  await tx.query('update revoked_values set key_id = $2, sealed = $3 where id = $1', [id, keyId, sealed])
}
