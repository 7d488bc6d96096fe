import type { Queryable } from '../postgres/database.ts'

/** Long enough that no route, drain or kept connection names the address any more. */
const restInterval = '10 minutes'

/**
 * Gives the lowest free address of the subnet to the instance; null when all are taken or rest. Ones that others are taking
 * in this moment are passed over, not waited for. An instance that has one keeps it.
 */
export async function claimLowestFreeAddress(
  db: Queryable,
  instanceId: number,
  subnet: string,
): Promise<string | null> {
  const rows = await db.query<{ address: string }>(
    `with kept as (
       select address from addresses where instance_id = $1 and address << $2::inet
     ), freed_by_deletion as (
       -- Its instance's row was deleted with the environment: it rests like any other.
       update addresses set reusable_at = now() + $3::interval
       where instance_id is null and reusable_at is null
     ), lowest as (
       select address from addresses
       where instance_id is null and reusable_at <= now() and address << $2::inet and not exists (select from kept)
       order by address limit 1 for update skip locked
     ), claimed as (
       update addresses set instance_id = $1, reusable_at = null from lowest
       where addresses.address = lowest.address
       returning addresses.address
     )
     select host(address) as address from kept union all select host(address) from claimed`,
    [instanceId, subnet, restInterval],
  )
  return rows[0]?.address ?? null
}

/** Writes down all addresses of a subnet but the reserved ones; those that are there stay as they are. */
export async function addAddresses(db: Queryable, subnet: string, reserved: readonly string[]): Promise<void> {
  await db.query(
    `insert into addresses (address, reusable_at)
     select candidate, '-infinity'
     from generate_series(1, (2 ^ (32 - masklen($1::inet)))::int - 2) as n,
       lateral (select set_masklen(network($1::inet)::inet, 32) + n::bigint as candidate) as c
     where candidate <> all ($2::inet[])
     on conflict (address) do nothing`,
    [subnet, reserved],
  )
}

export async function restAddress(db: Queryable, instanceId: number): Promise<void> {
  await db.query('update addresses set instance_id = null, reusable_at = now() + $2::interval where instance_id = $1', [
    instanceId,
    restInterval,
  ])
}
