import type { Queryable } from '../postgres/database.ts'
import type { DatabaseFacts } from './services.ts'

export async function readDatabaseFacts(q: Queryable, now: () => number = Date.now): Promise<DatabaseFacts> {
  const askedMs = now()
  const [row] = await q.query<{ version: number; nowMs: number; used: number; most: number; startedAt: Date }>(
    `select current_setting('server_version_num')::int as version,
       (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs",
       (select count(*) from pg_stat_activity where backend_type = 'client backend')::int as used,
       current_setting('max_connections')::int as most, pg_postmaster_start_time() as "startedAt"`,
  )
  const answeredMs = now()
  const { version, nowMs, used, most, startedAt } = row as NonNullable<typeof row>
  // It was asked somewhere between the two.
  return { version, clockAheadMs: nowMs - (askedMs + answeredMs) / 2, connections: { used, most }, startedAt }
}

/** Instances that have an address. */
export async function countInstances(q: Queryable): Promise<number> {
  const rows = await q.query<{ count: number }>(`select count(*)::int as count from instances where state <> 'retired'`)
  return rows[0]?.count ?? 0
}
