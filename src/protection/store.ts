import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Limits } from '../routing/index.ts'
import type { Protection } from './protection.ts'

interface Row {
  only_releases: boolean
  max_requests: number | null
  visitor_rate: number | null
  visitor_requests: number | null
  users: readonly { name: string; since: string }[]
  ranges: readonly string[]
}

export async function readProtection(q: Queryable, environmentId: number): Promise<Protection> {
  const [row] = await q.query<Row>(
    `select coalesce(u.only_releases, false) as only_releases, u.max_requests, u.visitor_rate, u.visitor_requests,
       coalesce((select jsonb_agg(jsonb_build_object('name', user_name, 'since', created_at) order by user_name)
         from environment_passwords p where p.environment_id = e.id), '[]') as users,
       array(select text(range) from environment_ranges g where g.environment_id = e.id order by range) as ranges
     from environments e left join environment_rules u on u.environment_id = e.id where e.id = $1`,
    [environmentId],
  )
  return {
    users: (row?.users ?? []).map(({ name, since }) => ({ name, since: new Date(since) })),
    ranges: row?.ranges ?? [],
    onlyReleases: row?.only_releases ?? false,
    limits: {
      requests: row?.max_requests ?? null,
      visitorRate: row?.visitor_rate ?? null,
      visitorRequests: row?.visitor_requests ?? null,
    },
  }
}

/** Changes of one environment go one after the other; false when it is not there, or is being removed. */
export async function lockEnvironment(tx: Transaction, environmentId: number): Promise<boolean> {
  const rows = await tx.query(`select 1 from environments where id = $1 and state <> 'removing' for no key update`, [
    environmentId,
  ])
  return rows.length > 0
}

export async function setPassword(
  tx: Transaction,
  environmentId: number,
  { name, hash }: { name: string; hash: string },
): Promise<void> {
  await tx.query(
    `insert into environment_passwords (environment_id, user_name, hash) values ($1, $2, $3)
     on conflict (environment_id, user_name) do update set hash = excluded.hash, created_at = now()`,
    [environmentId, name, hash],
  )
}

/** False when there was none. */
export async function removeUser(tx: Transaction, environmentId: number, name: string): Promise<boolean> {
  const rows = await tx.query(
    'delete from environment_passwords where environment_id = $1 and user_name = $2 returning user_name',
    [environmentId, name],
  )
  return rows.length > 0
}

export async function addRanges(tx: Transaction, environmentId: number, ranges: readonly string[]): Promise<void> {
  await tx.query(
    'insert into environment_ranges (environment_id, range) select $1, unnest($2::cidr[]) on conflict do nothing',
    [environmentId, ranges],
  )
}

/** Returns those that were there. */
export async function removeRanges(
  tx: Transaction,
  environmentId: number,
  ranges: readonly string[],
): Promise<string[]> {
  const rows = await tx.query<{ range: string }>(
    'delete from environment_ranges where environment_id = $1 and range = any($2::cidr[]) returning text(range) as range',
    [environmentId, ranges],
  )
  return rows.map(({ range }) => range)
}

export async function removeAll(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('delete from environment_passwords where environment_id = $1', [environmentId])
  await tx.query('delete from environment_ranges where environment_id = $1', [environmentId])
  await tx.query('update environment_rules set only_releases = false where environment_id = $1', [environmentId])
}

export async function setRules(
  tx: Transaction,
  environmentId: number,
  { onlyReleases, limits }: { onlyReleases: boolean; limits: Limits },
): Promise<void> {
  await tx.query(
    `insert into environment_rules (environment_id, only_releases, max_requests, visitor_rate, visitor_requests)
     values ($1, $2, $3, $4, $5)
     on conflict (environment_id) do update set only_releases = excluded.only_releases, max_requests = excluded.max_requests,
       visitor_rate = excluded.visitor_rate, visitor_requests = excluded.visitor_requests`,
    [environmentId, onlyReleases, limits.requests, limits.visitorRate, limits.visitorRequests],
  )
}

/** A new environment that is like another one lets in the same people. */
export async function copyProtection(tx: Transaction, { from, to }: { from: number; to: number }): Promise<void> {
  await tx.query(
    `insert into environment_passwords (environment_id, user_name, hash)
     select $2, user_name, hash from environment_passwords where environment_id = $1`,
    [from, to],
  )
  await tx.query(
    'insert into environment_ranges (environment_id, range) select $2, range from environment_ranges where environment_id = $1',
    [from, to],
  )
  await tx.query(
    `insert into environment_rules (environment_id, only_releases, max_requests, visitor_rate, visitor_requests)
     select $2, only_releases, max_requests, visitor_rate, visitor_requests from environment_rules where environment_id = $1`,
    [from, to],
  )
}

export type ReleaseAddresses = 'off' | 'protected' | 'public'

/** Returns what it was before. */
export async function setReleaseAddresses(
  tx: Transaction,
  appId: number,
  value: ReleaseAddresses,
): Promise<ReleaseAddresses | null> {
  const rows = await tx.query<{ before: ReleaseAddresses }>(
    `update apps a set release_addresses = $2 from (select id, release_addresses from apps where id = $1 for update) b
     where a.id = b.id returning b.release_addresses as before`,
    [appId, value],
  )
  return rows[0]?.before ?? null
}
