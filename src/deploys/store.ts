import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import { type Deploy, type DeployRequest, type DeployState, type DeployStep, mayMove } from './deploy.ts'

interface DeployRow {
  id: number
  environment_id: number
  app_id: number
  app: string
  environment: string
  label: string
  live: boolean
  kind: 'push' | 'deploy'
  branch: string | null
  commit: string
  requested_by: string
  state: DeployState
  step: DeployStep | null
  build_id: number | null
  release_id: number | null
  release_number: number | null
  superseded_by: number | null
  cancel_requested: boolean
  commands_ran: boolean
  error_code: string | null
  error_message: string | null
  created_at: Date
  started_at: Date | null
  finished_at: Date | null
}

const selectDeploy = `select d.id, d.environment_id, e.app_id, a.name as app, e.name as environment, e.label, e.live, d.kind, d.branch, d.commit,
    d.requested_by, d.state, d.step, d.build_id, d.release_id, r.number as release_number, d.superseded_by,
    d.cancel_requested_at is not null as cancel_requested, d.commands_ran, d.error_code, d.error_message,
    d.created_at, d.started_at, d.finished_at
  from deploys d
  join environments e on e.id = d.environment_id
  join apps a on a.id = e.app_id
  left join releases r on r.id = d.release_id`

const toDeploy = (row: DeployRow): Deploy => ({
  id: row.id,
  environmentId: row.environment_id,
  appId: row.app_id,
  app: row.app,
  environment: row.environment,
  label: row.label,
  live: row.live,
  kind: row.kind,
  branch: row.branch,
  commit: row.commit,
  requestedBy: row.requested_by,
  state: row.state,
  step: row.step,
  buildId: row.build_id,
  releaseId: row.release_id,
  releaseNumber: row.release_number,
  supersededBy: row.superseded_by,
  cancelRequested: row.cancel_requested,
  commandsRan: row.commands_ran,
  error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
})

export async function findDeploy(q: Queryable, id: number): Promise<Deploy | null> {
  const rows = await q.query<DeployRow>(`${selectDeploy} where d.id = $1`, [id])
  return rows[0] === undefined ? null : toDeploy(rows[0])
}

export async function getDeploy(q: Queryable, id: number): Promise<Deploy> {
  const deploy = await findDeploy(q, id)
  if (deploy === null)
    throw new SlipwayError('not_found', `There is no deploy ${id}.`, {
      hint: 'See the newest with: slipway deploys list',
    })
  return deploy
}

/** Newest first, older than `before`. */
export async function listDeploys(
  q: Queryable,
  environmentId: number,
  page: { limit: number; before?: number },
): Promise<Deploy[]> {
  const rows = await q.query<DeployRow>(
    `${selectDeploy} where d.environment_id = $1 and ($2::bigint is null or d.id < $2) order by d.id desc limit $3`,
    [environmentId, page.before ?? null, page.limit],
  )
  return rows.map(toDeploy)
}

/** Serialises all changes to an environment's line until the transaction ends. */
export async function lockLine(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('select 1 from environments where id = $1 for update', [environmentId])
}

/** Ends the waiting push of this environment, if there is one: a newer push takes its place. */
export async function supersedeWaitingPush(tx: Transaction, environmentId: number): Promise<number[]> {
  const rows = await tx.query<{ id: number }>(
    `update deploys set state = 'superseded', finished_at = now()
     where environment_id = $1 and state = 'waiting' and kind = 'push' returning id`,
    [environmentId],
  )
  return rows.map((row) => row.id)
}

export async function insertDeploy(tx: Transaction, request: DeployRequest): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    `insert into deploys (environment_id, kind, branch, commit, requested_by, push_id, state)
     values ($1, $2, $3, $4, $5, $6, 'waiting') returning id`,
    [request.environmentId, request.kind, request.branch, request.commit, request.requestedBy, request.pushId],
  )
  return (rows[0] as { id: number }).id
}

export async function linkSuperseded(tx: Transaction, ids: readonly number[], by: number): Promise<void> {
  await tx.query('update deploys set superseded_by = $2 where id = any($1)', [ids, by])
}

/** Deploys of the environment that come before this one; the running one first. */
export async function findAhead(
  q: Queryable,
  environmentId: number,
  id: number,
): Promise<{ id: number; state: DeployState }[]> {
  return q.query(
    `select id, state from deploys where environment_id = $1 and id <> $2 and state in ('waiting', 'running') order by state, id`,
    [environmentId, id],
  )
}

/**
 * Takes the next deploy whose environment runs none. The partial unique index decides a race: the loser sees a violation of
 * `one_running_deploy` and tries again.
 */
export async function claimNextDeploy(tx: Transaction, worker: string): Promise<number | null> {
  const rows = await tx.query<{ id: number }>(
    `update deploys set state = 'running', lease_owner = $1, started_at = now()
     where id = (
       select id from deploys w where state = 'waiting'
         and not exists (select 1 from deploys r where r.environment_id = w.environment_id and r.state = 'running')
       order by id for update skip locked limit 1
     ) returning id`,
    [worker],
  )
  return rows[0]?.id ?? null
}

/** What this worker has claimed and not ended. */
export async function listOwnRunning(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(`select id from deploys where state = 'running' and lease_owner = $1`, [
    worker,
  ])
  return rows.map((row) => row.id)
}

/** Deploys that an earlier life of this server was running: they are ours now. */
export async function takeOverRunningDeploys(q: Queryable, worker: string): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `update deploys set lease_owner = $1 where state = 'running' returning id`,
    [worker],
  )
  return rows.map((row) => row.id)
}

export async function listStepsDone(q: Queryable, deployId: number): Promise<DeployStep[]> {
  const rows = await q.query<{ step: DeployStep }>(
    `select step from deploy_steps where deploy_id = $1 and outcome = 'done'`,
    [deployId],
  )
  return rows.map((row) => row.step)
}

export interface StepTime {
  readonly step: DeployStep
  readonly ms: number
}

export async function listStepTimes(q: Queryable, deployId: number): Promise<StepTime[]> {
  return q.query(
    `select step, (extract(epoch from coalesce(finished_at, now()) - started_at) * 1000)::float8 as ms
     from deploy_steps where deploy_id = $1 order by started_at`,
    [deployId],
  )
}

/** Every record of a running deploy goes through here: whoever lost the deploy changes nothing. */
async function updateOwn(q: Queryable, own: Own, set: string, values: readonly unknown[]): Promise<void> {
  const rows = await q.query(
    `update deploys set ${set} where id = $1 and lease_owner = $2 and state = 'running' returning id`,
    [own.id, own.worker, ...values],
  )
  if (rows.length === 0) throw lostError(own)
}

function lostError(own: Own): SlipwayError {
  return new SlipwayError('conflict', `Deploy ${own.id} has another owner now.`)
}

/** A deploy and the worker that runs it. */
export interface Own {
  readonly id: number
  readonly worker: string
}

/** One statement: a step's record is on the way of every push, five times. */
export async function recordStepBegun(q: Queryable, own: Own, step: DeployStep): Promise<void> {
  const rows = await q.query(
    `with own as (
       update deploys set step = $3 where id = $1 and lease_owner = $2 and state = 'running' returning id
     ), begun as (
       insert into deploy_steps (deploy_id, step) select id, $3 from own on conflict do nothing
     )
     select id from own`,
    [own.id, own.worker, step],
  )
  if (rows.length === 0) throw lostError(own)
}

export async function recordStepEnded(
  q: Queryable,
  id: number,
  step: DeployStep,
  outcome: 'done' | 'failed' | 'cancelled',
): Promise<number> {
  const rows = await q.query<{ ms: number }>(
    `update deploy_steps set outcome = $3, finished_at = now() where deploy_id = $1 and step = $2
     returning (extract(epoch from now() - started_at) * 1000)::float8 as ms`,
    [id, step, outcome],
  )
  return rows[0]?.ms ?? 0
}

export async function recordBuild(tx: Transaction, own: Own, buildId: number): Promise<void> {
  await updateOwn(tx, own, 'build_id = $3', [buildId])
}

export async function recordRelease(tx: Transaction, own: Own, releaseId: number): Promise<void> {
  await updateOwn(tx, own, 'release_id = $3', [releaseId])
}

/**
 * Why a deploy will end without going live: before anything it started is removed, so that a crash in between does not lose
 * it.
 */
export async function recordFailure(
  tx: Transaction,
  own: Own,
  error: { code: string; message: string },
): Promise<void> {
  await updateOwn(tx, own, 'error_code = $3, error_message = $4', [error.code, error.message])
}

export async function recordEnd(tx: Transaction, own: Own, state: DeployState): Promise<void> {
  if (!mayMove('running', state)) throw new SlipwayError('internal', `A running deploy cannot become ${state}.`)
  await updateOwn(tx, own, 'state = $3, finished_at = now(), lease_owner = null', [state])
}

/** Ends a waiting deploy, or asks a running one to end. Null when it has ended already. */
export async function requestCancel(tx: Transaction, id: number): Promise<'ended' | 'asked' | null> {
  const waiting = await tx.query(
    `update deploys set state = 'cancelled', finished_at = now() where id = $1 and state = 'waiting' returning id`,
    [id],
  )
  if (waiting.length > 0) return 'ended'
  const running = await tx.query(
    `update deploys set cancel_requested_at = now() where id = $1 and state = 'running' returning id`,
    [id],
  )
  return running.length > 0 ? 'asked' : null
}

// Release commands: begun is recorded before the container starts, so that none runs twice.

export interface CommandRecord {
  readonly position: number
  readonly exitCode: number | null
}

export async function listCommandsBegun(q: Queryable, deployId: number): Promise<CommandRecord[]> {
  return q.query(
    `select position, exit_code as "exitCode" from release_commands where deploy_id = $1 order by position`,
    [deployId],
  )
}

export async function recordCommandBegun(tx: Transaction, own: Own, position: number, label: string): Promise<void> {
  await updateOwn(tx, own, 'commands_ran = true', [])
  await tx.query(
    'insert into release_commands (deploy_id, position, label) values ($1, $2, $3) on conflict do nothing',
    [own.id, position, label],
  )
}

/** How many lines a command's output has in the log already: it was being followed when the server died. */
export async function countCommandOutput(q: Queryable, deployId: number, position: number): Promise<number> {
  const rows = await q.query<{ count: number }>(
    `select count(*) as count from deploy_log l join release_commands c using (deploy_id)
     where c.deploy_id = $1 and c.position = $2 and l.kind = 'output' and l.at >= c.started_at`,
    [deployId, position],
  )
  return rows[0]?.count ?? 0
}

export async function recordCommandEnded(
  q: Queryable,
  deployId: number,
  position: number,
  exitCode: number,
): Promise<void> {
  await q.query('update release_commands set exit_code = $3 where deploy_id = $1 and position = $2', [
    deployId,
    position,
    exitCode,
  ])
}

/** The release that an environment's route points to. */
export async function findServingRelease(
  q: Queryable,
  environmentId: number,
): Promise<{ id: number; number: number } | null> {
  const rows = await q.query<{ id: number; number: number }>(
    'select r.id, r.number from routes t join releases r on r.id = t.release_id where t.environment_id = $1',
    [environmentId],
  )
  return rows[0] ?? null
}

export async function listRunningDeploys(q: Queryable): Promise<number[]> {
  return (await q.query<{ id: number }>(`select id from deploys where state = 'running'`)).map((row) => row.id)
}

/** The environment's releases that let their last requests finish. */
export async function listDrainingReleases(q: Queryable, environmentId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select distinct r.id from instances i join releases r on r.id = i.release_id
     where r.environment_id = $1 and i.state = 'draining'`,
    [environmentId],
  )
  return rows.map((row) => row.id)
}
