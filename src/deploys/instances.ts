import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import { variablesRevision } from '../vars/index.ts'

/** One container of a release, from before it starts until it is retired. Its SQL too. The instances of one deploy belong together. */
export interface InstanceRecord {
  readonly id: number
  readonly releaseId: number
  readonly releaseNumber: number
  /** The release that it was started for, where it is another: what was warm serves again. Left out: it is the same. */
  readonly startedFor?: StartedFor | null
  readonly deployId: number
  readonly environmentId: number
  readonly label: string
  readonly live: boolean
  /** `web` takes requests; all others are workers, without route and port. */
  readonly process: string
  /** Among those of its process, from 1. */
  readonly position: number
  readonly containerId: string | null
  readonly address: string | null
  readonly port: number
  /** `waking` and `awake`: it runs for the own address of its release, and serves nothing else. */
  readonly state: 'starting' | 'serving' | 'waking' | 'awake' | 'draining' | 'retired'
  /** What is left of the drain time, by the database's clock; null unless draining. */
  readonly drainLeftMs: number | null
  /** How long it stays as it was before the swap, for a way back; 0 when it does not. */
  readonly warmLeftMs: number
  readonly stopMs: number
  /** A value leaked that it was started with. */
  readonly isRevoked: boolean
  /** Since when no request is led to it: it ended, and is not back or does not listen yet. Null: it takes requests. */
  readonly downSince: Date | null
  /** Its ends that Slipway knows of while it served. */
  readonly endCount: number
  /** How its last end was; null when nobody knows. */
  readonly lastExitCode: number | null
  readonly lastOutOfMemory: boolean
  /** Since when it ends again and again. */
  readonly crashLoopSince: Date | null
  /** Why it could not be started again the last time, and what to do; null: it could. */
  readonly startError: string | null
  /** How often Slipway has started it again in a row. */
  readonly startAttempts: number
  /** How long Slipway waits until it starts it again; 0: it may at once. */
  readonly startDueMs: number
  /** Of its release's variables, as in its container's labels; null: no value was taken out of them. */
  readonly variablesRevision: string | null
}

export interface StartedFor {
  readonly releaseId: number
  readonly number: number
}

const selectStartedFor = `case when o.id is not null then json_build_object('releaseId', o.id, 'number', o.number) end as "startedFor"`

/** Of an instance `i` of the release `r`: a value was taken out of its release since it was started. */
const isRevoked = 'coalesce(r.variables_revoked_at > i.created_at, false)'

const selectInstance = `select i.id, i.release_id as "releaseId", r.number as "releaseNumber", i.deploy_id as "deployId",
    r.environment_id as "environmentId", e.label, e.live, i.process, i.position, i.container_id as "containerId", host(ad.address) as address,
    ${selectStartedFor}, ${isRevoked} as "isRevoked", i.port, i.state, greatest(0, extract(epoch from i.drain_until - now()) * 1000)::float8 as "drainLeftMs",
    coalesce(greatest(0, extract(epoch from i.warm_until - now()) * 1000), 0)::float8 as "warmLeftMs", i.stop_ms as "stopMs",
    i.down_since as "downSince", i.end_count as "endCount", i.last_exit_code as "lastExitCode",
    i.last_out_of_memory as "lastOutOfMemory", i.crash_loop_since as "crashLoopSince", i.start_attempts as "startAttempts", i.start_error as "startError",
    coalesce(greatest(0, extract(epoch from i.next_start_at - now()) * 1000), 0)::float8 as "startDueMs",
    ${variablesRevision('r')} as "variablesRevision"
  from instances i
  join releases r on r.id = i.release_id
  join environments e on e.id = r.environment_id
  join deploys w on w.id = i.deploy_id left join releases o on o.id = w.release_id and o.id <> i.release_id
  left join addresses ad on ad.instance_id = i.id`

/** Those that a deploy started, of all processes. */
export async function listInstancesOfDeploy(q: Queryable, deployId: number): Promise<InstanceRecord[]> {
  return q.query(
    `${selectInstance} where i.deploy_id = $1 and i.state <> 'retired' order by i.process, i.position`,
    [deployId],
    prepared,
  )
}

/** Takes requests, and is checked for it. */
export const isWeb = ({ process }: Pick<InstanceRecord, 'process'>): boolean => process === 'web'

export async function listInstancesOfEnvironment(q: Queryable, environmentId: number): Promise<InstanceRecord[]> {
  return q.query(
    `${selectInstance} where r.environment_id = $1 and i.state <> 'retired' order by i.deploy_id, i.process, i.position`,
    [environmentId],
  )
}

/** All instances of the installation that are not retired. */
export async function listInstances(q: Queryable): Promise<InstanceRecord[]> {
  return q.query(`${selectInstance} where i.state <> 'retired' order by i.id`)
}

/** Those that answer at their release's own address alone. */
export async function listAwakeInstances(q: Queryable): Promise<InstanceRecord[]> {
  return q.query(`${selectInstance} where i.state = 'awake' order by i.id`)
}

/** Those that the engine keeps running, or kept. */
export async function listKeptOf(q: Queryable, releaseIds: readonly number[]): Promise<InstanceRecord[]> {
  return q.query(
    `${selectInstance} where i.state in ('serving', 'draining') and i.release_id = any($1) order by i.id`,
    [releaseIds],
  )
}

/** Which of their variables these releases have now: see `slipway.variables`. Only of those that something was taken out of. */
export async function listRevisions(q: Queryable, releaseIds: readonly number[]): Promise<Map<number, string>> {
  const rows = await q.query<{ id: number; revision: string }>(
    `select r.id, ${variablesRevision('r')} as revision from releases r
     where r.id = any($1) and r.variables_revoked_at is not null`,
    [releaseIds],
  )
  return new Map(rows.map(({ id, revision }) => [id, revision]))
}

export async function listAwakeOf(q: Queryable, releaseIds: readonly number[]): Promise<InstanceRecord[]> {
  return q.query(`${selectInstance} where i.state in ('waking', 'awake') and i.release_id = any($1) order by i.id`, [
    releaseIds,
  ])
}

export interface NewInstance {
  readonly releaseId: number
  readonly deployId: number
  readonly process: string
  readonly position: number
  readonly port: number
  readonly drainMs: number
  readonly stopMs: number
}

/** A worker is down until it is started, which is after the swap. */
export async function insertInstance(tx: Transaction, n: NewInstance): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    `insert into instances (release_id, deploy_id, process, position, port, drain_ms, stop_ms, state, down_since)
     values ($1, $2, $3, $4, $5, $6, $7, 'starting', case when $3 <> 'web' then now() end) returning id`,
    [n.releaseId, n.deployId, n.process, n.position, n.port, n.drainMs, n.stopMs],
  )
  return (rows[0] as { id: number }).id
}

export async function recordContainer(q: Queryable, instanceId: number, containerId: string): Promise<void> {
  await q.query('update instances set container_id = $2, start_error = null where id = $1', [instanceId, containerId])
}

export interface RouteSwitch {
  readonly environmentId: number
  readonly releaseId: number
  /** Whose instances serve from now on. */
  readonly deployId: number
  /** How long those of `web` that served stay as they are before they drain. */
  readonly keepWarmMs: number
  /** It is the release that served: what was warm beside it stays so. */
  readonly isSameRelease: boolean
}

/** What served stays ready for a way back, but for what was started with a value that was revoked since. */
const staysWarm = `i.state = 'serving' and i.process = 'web' and not ${isRevoked}`

/**
 * The deploy's instances serve now; those of the environment's other deploys drain from now on, also what was warm until now,
 * but for a start of the same release anew.
 * Returns the deploys that drain.
 */
export async function switchRoute(
  tx: Transaction,
  { environmentId, releaseId, deployId, keepWarmMs, isSameRelease }: RouteSwitch,
): Promise<number[]> {
  await tx.query(
    `insert into routes (environment_id, release_id, deploy_id) values ($1, $2, $3)
     on conflict (environment_id) do update
       set release_id = excluded.release_id, deploy_id = excluded.deploy_id, changed_at = now()`,
    [environmentId, releaseId, deployId],
  )
  await tx.query(`update instances set state = 'serving' where deploy_id = $1 and state = 'starting'`, [deployId])
  const drained = await tx.query<{ deploy_id: number }>(
    `update instances i set state = 'draining',
       warm_until = now() + case when ${staysWarm} then $3::float8 else 0 end * interval '1 millisecond',
       drain_until = now() + (i.drain_ms + case when ${staysWarm} then $3::float8 else 0 end)
         * interval '1 millisecond'
     from releases r
     where r.id = i.release_id and r.environment_id = $1 and i.deploy_id <> $2
       and (i.state = 'serving' or (i.state = 'draining' and i.warm_until > now() and not $4))
     returning i.deploy_id`,
    [environmentId, deployId, keepWarmMs, isSameRelease],
  )
  return [...new Set(drained.map((row) => row.deploy_id))]
}

/** Whatever runs in an environment drains from now on, and nothing takes its place. Returns what drains, as `switchRoute` does. */
export async function drainServing(tx: Transaction, environmentId: number): Promise<number[]> {
  const drained = await tx.query<{ id: number }>(
    `update instances i set state = 'draining', warm_until = null, drain_until = now() + i.drain_ms * interval '1 millisecond'
     from releases r
     where r.id = i.release_id and r.environment_id = $1 and (i.state in ('serving', 'waking', 'awake') or (i.state = 'draining' and i.warm_until > now()))
     returning i.deploy_id as id`,
    [environmentId],
  )
  return [...new Set(drained.map(({ id }) => id))]
}

/** The same for what runs for addresses of releases alone. */
export async function drainAwake(q: Queryable, environmentId: number): Promise<number[]> {
  const drained = await q.query<{ id: number }>(
    `update instances i set state = 'draining', drain_until = now() + i.drain_ms * interval '1 millisecond'
     from releases r
     where r.id = i.release_id and r.environment_id = $1 and i.state in ('waking', 'awake')
     returning i.deploy_id as id`,
    [environmentId],
  )
  return [...new Set(drained.map(({ id }) => id))]
}

export async function markRetired(q: Queryable, instanceId: number): Promise<void> {
  await q.query(`update instances set state = 'retired' where id = $1`, [instanceId])
}

/** Which release an environment serves, and which deploy started the instances. */
export interface Route {
  readonly environmentId: number
  readonly label: string
  readonly live: boolean
  readonly releaseId: number
  readonly releaseNumber: number
  readonly deployId: number
  /** As of an instance. */
  readonly startedFor?: StartedFor | null
  /** Its address says that it is stopped. Left out: it is not. */
  readonly isStopped?: boolean
}

const selectRoute = `select t.environment_id as "environmentId", e.label, e.live, t.release_id as "releaseId", r.number as "releaseNumber",
       t.deploy_id as "deployId", e.state = 'stopped' as "isStopped",
       ${selectStartedFor}
     from routes t join environments e on e.id = t.environment_id join releases r on r.id = t.release_id
     left join deploys w on w.id = t.deploy_id left join releases o on o.id = w.release_id and o.id <> t.release_id`

/** Which release each environment's route points to. */
export async function listRoutes(q: Queryable): Promise<Route[]> {
  return q.query(selectRoute)
}

/** The route that leads to what a deploy started; null when none does. */
export async function findRouteTo(q: Queryable, deployId: number): Promise<Route | null> {
  const rows = await q.query<Route>(`${selectRoute} where t.deploy_id = $1`, [deployId])
  return rows[0] ?? null
}

export async function findRouteOf(q: Queryable, environmentId: number): Promise<Route | null> {
  const rows = await q.query<Route>(`${selectRoute} where t.environment_id = $1`, [environmentId])
  return rows[0] ?? null
}

/** Which of these deploys have ended; those that the database does not know are not among them. */
export async function listEndedDeploys(q: Queryable, ids: readonly number[]): Promise<number[]> {
  if (ids.length === 0) return []
  const rows = await q.query<{ id: number }>('select id from deploys where id = any($1) and finished_at is not null', [
    ids,
  ])
  return rows.map((row) => row.id)
}
