import type { Queryable, Transaction } from '../postgres/database.ts'

export interface WrappedKey {
  readonly id: number
  readonly purpose: 'values' | 'derived'
  readonly wrapper: string
  readonly wrapped: Buffer
}

/** One server at a time reads or changes the keys. */
export async function lockKeys(tx: Transaction): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(7240008)')
}

export async function listKeys(q: Queryable): Promise<WrappedKey[]> {
  return q.query(
    `select k.id, k.purpose, w.wrapper, w.wrapped from sealing_keys k join sealing_key_wraps w on w.key_id = k.id
     order by k.id`,
  )
}

/** Takes the id first: it is part of the wrap. */
export async function insertKey(tx: Transaction, purpose: WrappedKey['purpose']): Promise<number> {
  const rows = await tx.query<{ id: number }>('insert into sealing_keys (purpose) values ($1) returning id', [purpose])
  return (rows[0] as { id: number }).id
}

export async function insertWrap(tx: Transaction, wrap: Omit<WrappedKey, 'purpose'>): Promise<void> {
  await tx.query(
    `insert into sealing_key_wraps (key_id, wrapper, wrapped) values ($1, $2, $3)
     on conflict (key_id, wrapper) do update set wrapped = excluded.wrapped`,
    [wrap.id, wrap.wrapper, wrap.wrapped],
  )
}

/** Ends what a SLIPWAY_SECRET_KEY before this one could open. One that is to take its place later keeps its wraps. */
export async function removeOlderWraps(tx: Transaction, wrapper: string): Promise<void> {
  await tx.query(
    `delete from sealing_key_wraps where wrapper in (
       select w.wrapper from sealing_key_wraps w join sealing_keys k on k.id = w.key_id and k.purpose = 'derived'
       where w.created_at < (select o.created_at from sealing_key_wraps o where o.key_id = k.id and o.wrapper = $1))`,
    [wrapper],
  )
}

export async function removeOtherWraps(tx: Transaction, wrappers: readonly string[]): Promise<void> {
  await tx.query('delete from sealing_key_wraps where wrapper <> all($1)', [wrappers])
}

/** Removes the keys for values before this one that nothing is sealed with. */
export async function removeUnusedKeys(tx: Transaction, current: number): Promise<void> {
  await tx.query(
    `delete from sealing_keys k where k.purpose = 'values' and k.id < $1
       and not exists (select 1 from variables v where v.key_id = k.id)
       and not exists (select 1 from releases r where r.variables_key_id = k.id)
       and not exists (select 1 from revoked_values v where v.key_id = k.id)`,
    [current],
  )
}
