import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import { type Limits, type Maintenance, rangePrefixes, usualMessage } from '../routing/index.ts'
import type { Exposure, Exposures } from './exposures.ts'

interface Row {
  readonly id: number
  readonly only_releases: boolean
  readonly release_addresses: Exposure['releaseAddresses']
  readonly max_requests: number | null
  readonly visitor_rate: number | null
  readonly visitor_requests: number | null
  readonly hashes: readonly string[]
  readonly ranges: readonly string[]
  /** Null: it is not being worked on. */
  readonly message: string | null
  readonly passing: readonly string[] | null
}

const ruled = `select environment_id from environment_passwords union select environment_id from environment_ranges
    union select environment_id from environment_rules
    union select environment_id from environment_maintenance
    union select l.id from environments l join apps b on b.id = l.app_id where l.live and b.release_addresses <> 'protected'`

const selectExposures = `select e.id, coalesce(u.only_releases, false) as only_releases, a.release_addresses,
    u.max_requests, u.visitor_rate, u.visitor_requests,
    array(select hash from environment_passwords p where p.environment_id = e.id order by hash) as hashes,
    array(select text(range) from environment_ranges g where g.environment_id = e.id order by range) as ranges,
    m.message, array(select text(r) from unnest(m.ranges) r) as passing
  from environments e
  join apps a on a.id = e.app_id
  left join environment_rules u on u.environment_id = e.id
  left join environment_maintenance m on m.environment_id = e.id`

/** Those that differ from what holds for all: few, and looked up by their ids, or all environments are read for them. */
export async function listExposures(q: Queryable): Promise<Exposures> {
  return toExposures(await q.query<Row>(`${selectExposures} where e.id = any(array(${ruled}))`))
}

export async function findExposures(q: Queryable, environmentId: number): Promise<Exposures> {
  return toExposures(
    await q.query<Row>(
      `${selectExposures} join (${ruled}) r on r.environment_id = e.id where r.environment_id = $1`,
      [environmentId],
      prepared,
    ),
  )
}

/** Of an environment that nothing leads to any more. */
export async function forgetRules(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('delete from environment_passwords where environment_id = $1', [environmentId])
  await tx.query('delete from environment_ranges where environment_id = $1', [environmentId])
  await tx.query('delete from environment_rules where environment_id = $1', [environmentId])
  await tx.query('delete from environment_maintenance where environment_id = $1', [environmentId])
}

function toExposures(rows: readonly Row[]): Exposures {
  return new Map(rows.map((row) => [row.id, toExposure(row)]))
}

function toExposure(row: Row): Exposure {
  const limits: Limits = {
    requests: row.max_requests,
    visitorRate: row.visitor_rate,
    visitorRequests: row.visitor_requests,
  }
  const hasLimits = Object.values(limits).some((limit) => limit !== null)
  return {
    environmentId: row.id,
    onlyReleases: row.only_releases,
    releaseAddresses: row.release_addresses,
    rules: {
      passwords: row.hashes,
      // The beginnings of a range in a larger one are there twice.
      allowed: [...new Set(row.ranges.flatMap(rangePrefixes))],
      limits: hasLimits ? limits : null,
      ...(row.message === null ? {} : { maintenance: toMaintenance(row.message, row.passing ?? []) }),
    },
  }
}

function toMaintenance(message: string, ranges: readonly string[]): Maintenance {
  const allowed = [...new Set(ranges.flatMap(rangePrefixes))]
  return { message: message === '' ? usualMessage : message, allowed }
}
