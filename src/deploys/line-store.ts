import {
  type EnvironmentLock,
  type EnvironmentState,
  lockColumns,
  type LockRow,
  type Supersede,
  toLock,
} from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import type { DeployRequest, DeployStep } from './deploy.ts'
import { type InLine, placeOf } from './line.ts'

/*
 * The SQL of the lines: what waits, who takes it, and for how long that holds. Times are the database's.
 */

/** A worker that says nothing for this long has lost what it ran. Honest ones on a loaded machine were seen silent for 5 s. */
export const leaseMs = 30_000

const lease = `now() + interval '${leaseMs} milliseconds'`

/** A deploy and the worker that runs it. */
export interface Own {
  readonly id: number
  readonly worker: string
}

/** Who took the deploy over goes on with it; whoever sees this stops where it is and touches nothing more. */
export class LostDeployError extends SlipwayError {
  constructor({ id }: Own) {
    super('conflict', `Deploy ${id} has another owner now.`)
  }
}

interface LineState {
  /** What a newer push may replace. */
  readonly supersede: Supersede
  readonly state: EnvironmentState
  readonly lock: EnvironmentLock | null
}

/** Serialises all changes to an environment's line until the transaction ends. Returns what the environment is. */
export async function lockLine(tx: Transaction, environmentId: number): Promise<LineState> {
  const [row] = await tx.query<Omit<LineState, 'lock'> & LockRow>(
    `select supersede, state, ${lockColumns('environments')} from environments where id = $1 for no key update`,
    [environmentId],
  )
  if (row === undefined) throw new SlipwayError('not_found', 'The environment was removed.')
  return { supersede: row.supersede, state: row.state, lock: toLock(row) }
}

/** For messages. */
export async function nameEnvironment(
  q: Queryable,
  environmentId: number,
): Promise<{ readonly app: string; readonly environment: string }> {
  const rows = await q.query<{ app: string; environment: string }>(
    'select a.name as app, e.name as environment from environments e join apps a on a.id = e.app_id where e.id = $1',
    [environmentId],
  )
  if (rows[0] === undefined) throw new SlipwayError('not_found', 'The environment was removed.')
  return rows[0]
}

/** Of a waiting deploy of the environment `e`: what `isHeldBy` says. */
const isHeld = (deploy: string): string =>
  `e.locked_at is not null and ${deploy}.kind not in ('restart', 'scale', 'start') and not (${deploy}.kind = 'rollback' and (e.lock_allows_rollbacks or ${deploy}.reverts is not null))`

/** The environment's deploys that have not ended. */
export async function listLine(q: Queryable, environmentId: number): Promise<InLine[]> {
  return q.query(
    `select d.id, d.state, d.priority, d.replaceable, d.kind = 'push' as "isPush", d.step,
       coalesce(d.state = 'running' and d.step = 'check' and d.swap_agreed = false, false) as "awaitsOthers",
       coalesce(b.state = 'waiting', false) as "waitsForSlot",
       d.cancel_requested_at is not null or d.error_code is not null as "isEnding",
       d.state = 'waiting' and ${isHeld('d')} as "isHeld"
     from deploys d join environments e on e.id = d.environment_id left join builds b on b.id = d.build_id
     where d.environment_id = $1 and d.state in ('waiting', 'running') order by d.id`,
    [environmentId],
    prepared,
  )
}

/** `buildId`: of the release that it begins from; its image stays as long as the deploy has not ended. */
export async function insertDeploy(
  tx: Transaction,
  { buildId = null, ...request }: DeployRequest & { buildId?: number | null },
): Promise<number> {
  const { priority, replaceable } = placeOf(request.kind, request.strict)
  const rows = await tx.query<{ id: number }>(
    `insert into deploys (environment_id, kind, branch, commit, requested_by, push_id, state, priority, replaceable, release_id, force_rebuild, swap_agreed,
       from_release_id, variables_of, holds, build_id, rebuild_of_release_id, reverts)
     values ($1, $2, $3, $4, $5, $6, 'waiting', $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) returning id`,
    [
      request.environmentId,
      request.kind,
      request.branch,
      request.commit,
      request.requestedBy,
      request.pushId,
      priority,
      replaceable,
      request.releaseId ?? null,
      request.forceRebuild ?? false,
      request.strict === true ? false : null,
      request.from?.releaseId ?? null,
      request.from?.variables ?? null,
      request.holds ?? false,
      buildId,
      request.rebuildOf ?? null,
      request.reverts ?? null,
    ],
  )
  return (rows[0] as { id: number }).id
}

/** Ends waiting deploys, whose place a newer one takes. Those that have just begun are left out. */
export async function supersedeWaiting(tx: Transaction, ids: readonly number[]): Promise<number[]> {
  if (ids.length === 0) return []
  const rows = await tx.query<{ id: number }>(
    `update deploys set state = 'superseded', finished_at = now() where id = any($1) and state = 'waiting' returning id`,
    [ids],
  )
  return rows.map((row) => row.id)
}

/** Asks running deploys to end for a newer one; those that went on to what cannot be taken back are left out. */
export async function interruptRunning(tx: Transaction, ids: readonly number[]): Promise<number[]> {
  if (ids.length === 0) return []
  const rows = await tx.query<{ id: number }>(
    `update deploys set cancel_requested_at = now()
     where id = any($1) and state = 'running' and cancel_requested_at is null and error_code is null
       and (step is null or step = 'build' or step = 'check' and swap_agreed = false)
     returning id`,
    [ids],
  )
  return rows.map((row) => row.id)
}

export async function linkSuperseded(tx: Transaction, ids: readonly number[], by: number): Promise<void> {
  if (ids.length > 0) await tx.query('update deploys set superseded_by = $2 where id = any($1)', [ids, by])
}

/** Records what a waiting deploy is told that it waits for. False when it knew, or has begun. */
export async function recordWait(tx: Transaction, id: number, waitingFor: string): Promise<boolean> {
  const rows = await tx.query(
    `update deploys set waiting_for = $2 where id = $1 and state = 'waiting' and waiting_for is distinct from $2 returning id`,
    [id, waitingFor],
  )
  return rows.length > 0
}

/** The running deploys of these releases; they begin no further step until the transaction ends. */
export async function listBegun(
  tx: Transaction,
  releaseIds: readonly number[],
): Promise<{ id: number; appId: number; environmentId: number; step: DeployStep | null }[]> {
  return tx.query(
    `select d.id, e.app_id as "appId", d.environment_id as "environmentId", d.step
     from deploys d join environments e on e.id = d.environment_id
     where d.release_id = any($1) and d.state = 'running' order by d.id for no key update of d`,
    [releaseIds],
  )
}

/** Ends a waiting deploy, or asks a running one to end. `late`: its traffic is being moved, or is about to be, with that of others; null: it has ended already. */
export async function requestCancel(
  tx: Transaction,
  id: number,
  by: string,
): Promise<'ended' | 'asked' | 'late' | null> {
  const waiting = await tx.query(
    `update deploys set state = 'cancelled', finished_at = now(), waiting_for = null
     where id = $1 and state = 'waiting' returning id`,
    [id],
  )
  if (waiting.length > 0) return 'ended'
  const running = await tx.query<{ asked: boolean }>(
    `update deploys d set cancel_requested_at = coalesce(d.cancel_requested_at, now()),
       cancel_requested_by = coalesce(d.cancel_requested_by, $2)
     from (select id, step is distinct from 'swap' and not coalesce(swap_agreed, false) as asked from deploys
       where id = $1 and state = 'running' for no key update) as w
     where d.id = w.id and w.asked returning w.asked`,
    [id, by],
  )
  if (running.length > 0) return 'asked'
  const late = await tx.query(`select 1 from deploys where id = $1 and state = 'running'`, [id])
  return late.length > 0 ? 'late' : null
}

/**
 * Takes the next deploy whose environment runs none: the first of its line and nobody behind it, also while somebody else is at
 * that row; those that a lock holds back do not count. Strict pushes that want the same environments come first in all of them or in
 * none, and so never wait for each other. The partial unique index decides a race: the loser sees a violation of
 * `one_running_deploy` and tries again.
 */
export async function claimNextDeploy(
  tx: Transaction,
  worker: string,
): Promise<{ id: number; environmentId: number } | null> {
  const rows = await tx.query<{ id: number; environmentId: number }>(
    `update deploys set state = 'running', lease_owner = $1, lease_until = ${lease}, started_at = now(), waiting_for = null
     where id = (
       select d.id from deploys d join environments e on e.id = d.environment_id
       where d.state = 'waiting' and not (${isHeld('d')})
         and not exists (select 1 from deploys r where r.environment_id = d.environment_id and r.state = 'running')
         and not exists (select 1 from deploys f where f.environment_id = d.environment_id and f.state = 'waiting'
           and (f.priority > d.priority or f.priority = d.priority and f.id < d.id) and not (${isHeld('f')}))
       order by d.priority desc, d.id for no key update of d skip locked limit 1
     ) returning id, environment_id as "environmentId"`,
    [worker],
  )
  return rows[0] ?? null
}

/** What this worker has claimed and not ended. */
export async function listOwnRunning(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(`select id from deploys where state = 'running' and lease_owner = $1`, [
    worker,
  ])
  return rows.map((row) => row.id)
}

/** Those of this worker's deploys that somebody, or a newer push, wants to end. */
export async function listOwnToEnd(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select id from deploys where state = 'running' and lease_owner = $1 and cancel_requested_at is not null`,
    [worker],
  )
  return rows.map((row) => row.id)
}

/**
 * Deploys that an earlier life of this server was running: they are ours now, whatever their leases say. Only for who holds the
 * place of the server: whoever held it before, dead or frozen, asks for it before each effect and does none any more.
 */
export async function takeOverRunning(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `update deploys set lease_owner = $1, lease_until = ${lease} where state = 'running' returning id`,
    [worker],
  )
  return rows.map((row) => row.id)
}

/** Deploys whose owner has said nothing for the length of a lease, or has given them back: they are ours now. */
export async function takeOverExpired(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `update deploys set lease_owner = $1, lease_until = ${lease}
     where state = 'running' and lease_owner is distinct from $1 and coalesce(lease_until, '-infinity') < now() returning id`,
    [worker],
  )
  return rows.map((row) => row.id)
}

/** Extends the leases of all that this worker runs. Returns those that it still owns. */
export async function renewLeases(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `update deploys set lease_until = ${lease} where state = 'running' and lease_owner = $1 returning id`,
    [worker],
  )
  return rows.map((row) => row.id)
}

/** Lets go of everything without ending it: whoever comes next need not wait for the leases to run out. */
export async function releaseLeases(q: Queryable, worker: string): Promise<void> {
  await q.query(
    `update deploys set lease_owner = null, lease_until = null where state = 'running' and lease_owner = $1`,
    [worker],
  )
}
