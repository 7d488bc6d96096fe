import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import { kindsOf } from './describe.ts'

/** Null: whatever it is. */
export interface ActivityFilter {
  readonly appId: number | null
  readonly environment: string | null
  readonly by: string | null
  /** `deploy` (all about deploys) or `deploy.live`. */
  readonly kind: string | null
  readonly deployId: number | null
}

export interface EventRow {
  readonly id: number
  /** The transaction that wrote it; 64 bits, so a text here. */
  readonly xid: string
  readonly at: Date
  readonly kind: string
  readonly app: string | null
  readonly environment: string | null
  readonly deployId: number | null
  readonly actor: string | null
  readonly origin: string | null
  readonly data: Readonly<Record<string, unknown>>
}

/** A place between two events: those of earlier transactions, and of this one up to `id`, lie before it. */
export interface Place {
  readonly xid: string
  readonly id: number
}

const columns = `id, xid::text, at, kind, app, environment, deploy_id as "deployId", actor, origin, data`

/** The conditions for what is asked for only: a planner that sees `x is null or …` uses no index. */
function conditions(filter: ActivityFilter, values: unknown[]): string[] {
  const equal = (column: string, value: unknown): string[] =>
    value === null ? [] : [`${column} = $${values.push(value)}`]
  return [
    ...equal('app_id', filter.appId),
    ...equal('environment', filter.environment),
    ...equal('actor', filter.by),
    ...equal('deploy_id', filter.deployId),
    ...(filter.kind === null ? [] : [`kind = any($${values.push(kindsOf(filter.kind))})`]),
  ]
}

export async function listNewest(
  q: Queryable,
  filter: ActivityFilter,
  { limit, before }: { limit: number; before: number | null },
): Promise<EventRow[]> {
  const values: unknown[] = []
  const where = conditions(filter, values)
  if (before !== null) where.push(`id < $${values.push(before)}`)
  return q.query<EventRow>(
    `select ${columns} from events ${where.length === 0 ? '' : `where ${where.join(' and ')}`}
     order by id desc limit $${values.push(limit)}`,
    values,
  )
}

/** Behind everything that has been committed, before everything that has not. */
export async function findEnd(q: Queryable): Promise<Place> {
  const rows = await q.query<{ xid: string }>('select pg_snapshot_xmin(pg_current_snapshot())::text as xid')
  return { xid: rows[0]?.xid ?? '0', id: 0 }
}

/**
 * What comes behind a place, in the order in which transactions began. Only of those below the oldest that still runs: one
 * that commits late would be passed by otherwise, and never be seen.
 */
export async function listAfter(
  q: Queryable,
  filter: ActivityFilter,
  { from, limit }: { from: Place; limit: number },
): Promise<EventRow[]> {
  const values: unknown[] = [from.xid, from.id]
  const where = conditions(filter, values)
  return q.query<EventRow>(
    `select ${columns} from events
     where (xid, id) > ($1::xid8, $2) and xid < pg_snapshot_xmin(pg_current_snapshot())
       ${where.map((one) => `and ${one}`).join(' ')}
     order by events.xid, id limit $${values.push(limit)}`,
    values,
  )
}

export const renderCursor = ({ xid, id }: Place): string => `${xid}-${id}`

/** Throws `bad_request` for what no entry had as its cursor. */
export function parseCursor(text: string): Place {
  const [, xid, id] = /^([0-9]{1,19})-([0-9]{1,15})$/.exec(text) ?? []
  if (xid === undefined || id === undefined) {
    throw new SlipwayError('bad_request', 'Last-Event-ID must be the cursor of an entry of this activity.')
  }
  return { xid, id: Number(id) }
}
