import type { Queryable, Transaction } from '../postgres/database.ts'
import {
  environmentKey,
  formatHostEntry,
  type Limits,
  type Maintenance,
  rangePrefixes,
  releaseKey,
  type Rules,
  usualMessage,
  wakeKey,
} from '../routing/index.ts'

/** What is to be seen of an environment: the rules for its own address, and which of its releases have one. Its SQL too. */
export interface Exposure {
  readonly environmentId: number
  readonly rules: Rules
  /** Passwords and ranges hold for the addresses of releases alone. */
  readonly onlyReleases: boolean
  /** Of the live environment's releases; others follow their environment. */
  readonly releaseAddresses: 'off' | 'protected' | 'public'
}

/** Of those environments that differ from what holds for most: everybody may ask, and the releases of live have no address. */
export type Exposures = ReadonlyMap<number, Exposure>

const noRules: Rules = { passwords: [], allowed: [], limits: null }
const usual = { rules: noRules, onlyReleases: false, releaseAddresses: 'protected' } as const

interface Exposed {
  readonly environmentId: number
  readonly live: boolean
  readonly releaseId: number
}

/** What hosts of an environment lead to. */
export interface HostEntries {
  readonly environment: string
  /** The addresses of its releases: of one that runs, and of all others together; null: they have none. */
  readonly releases: { readonly running: string; readonly others: string } | null
}

export function hostEntriesOf({ environmentId, live, releaseId }: Exposed, exposures: Exposures): HostEntries {
  const { rules, onlyReleases, releaseAddresses } = exposures.get(environmentId) ?? usual
  const guarded = { password: rules.passwords.length > 0, address: rules.allowed.length > 0 }
  const open = { password: false, address: false }
  const common = {
    environmentId,
    isLimited: rules.limits !== null,
    // Its releases have the same data.
    isWorkedOn: rules.maintenance !== undefined,
  }
  const isPublic = live && releaseAddresses === 'public'
  // The same for all of them: whoever may not see one cannot tell whether there is such a release.
  const release = (routeKey: string): string =>
    formatHostEntry({ ...common, routeKey, needs: isPublic ? open : guarded, isIndexed: false })
  return {
    environment: formatHostEntry({
      ...common,
      routeKey: environmentKey(environmentId),
      needs: onlyReleases ? open : guarded,
      isIndexed: live,
    }),
    releases: haveAddresses({ environmentId, live }, exposures)
      ? { running: release(releaseKey(releaseId)), others: release(wakeKey(environmentId)) }
      : null,
  }
}

/** Whether the releases of an environment have addresses of their own. */
export function haveAddresses(
  { environmentId, live }: { readonly environmentId: number; readonly live: boolean },
  exposures: Exposures,
): boolean {
  const { rules, releaseAddresses } = exposures.get(environmentId) ?? usual
  if (!live || releaseAddresses === 'public') return true
  return releaseAddresses === 'protected' && rules.passwords.length + rules.allowed.length > 0
}

/** The rules that the proxy must hold. */
export function rulesOf(exposures: Exposures): Map<number, Rules> {
  const ruled = [...exposures.values()].filter(({ rules }) => hasRules(rules))
  return new Map(ruled.map(({ environmentId, rules }) => [environmentId, rules]))
}

export function hasRules({ passwords, allowed, limits, maintenance }: Rules): boolean {
  return passwords.length + allowed.length > 0 || limits !== null || maintenance !== undefined
}

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
    await q.query<Row>(`${selectExposures} join (${ruled}) r on r.environment_id = e.id where r.environment_id = $1`, [
      environmentId,
    ]),
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
