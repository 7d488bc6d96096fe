import { SlipwayError } from '../kernel/errors.ts'
import { prepared, type Queryable, type Transaction } from '../postgres/database.ts'
import {
  type Deploy,
  type DeployKind,
  type DeployState,
  type DeployStep,
  holdAfter,
  mayMove,
  type Origin,
} from './deploy.ts'
import { LostDeployError, type Own } from './line-store.ts'

interface DeployRow {
  id: number
  environment_id: number
  app_id: number
  app: string
  environment: string
  label: string
  live: boolean
  kind: DeployKind
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
  cancel_requested_by: string | null
  waiting_for: string | null
  commands_ran: boolean
  from_release_id: number | null
  from_number: number | null
  from_environment: string | null
  variables_of: 'release' | 'environment' | null
  holds: boolean
  instances_of: number | null
  reverts: number | null
  force_rebuild: boolean
  push_id: number | null
  swap_agreed: boolean | null
  serves: boolean
  error_code: string | null
  error_message: string | null
  created_at: Date
  started_at: Date | null
  finished_at: Date | null
}

const selectDeploy = `select d.id, d.environment_id, e.app_id, a.name as app, e.name as environment, e.label, e.live, d.kind, d.branch, d.commit,
    d.requested_by, d.state, d.step, d.build_id, d.release_id, r.number as release_number, d.superseded_by,
    d.cancel_requested_at is not null as cancel_requested, d.cancel_requested_by, d.commands_ran, d.force_rebuild, d.push_id, d.swap_agreed,
    d.from_release_id, f.number as from_number, g.name as from_environment, d.variables_of, d.holds, d.instances_of, d.reverts,
    d.error_code, d.error_message,
    d.created_at, d.started_at, d.finished_at,
    case when d.state = 'waiting' or (d.state = 'running' and b.state = 'waiting') then d.waiting_for end as waiting_for,
    coalesce(d.state = 'live' and t.release_id = d.release_id, false) as serves
  from deploys d
  join environments e on e.id = d.environment_id
  join apps a on a.id = e.app_id
  left join builds b on b.id = d.build_id
  left join routes t on t.environment_id = d.environment_id
  left join releases f on f.id = d.from_release_id
  left join environments g on g.id = f.environment_id
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
  cancelRequestedBy: row.cancel_requested_by,
  waitingFor: row.waiting_for,
  commandsRan: row.commands_ran,
  from: toOrigin(row),
  holds: row.holds,
  instancesOf: row.instances_of ?? row.id,
  reverts: row.reverts ?? null,
  forceRebuild: row.force_rebuild,
  strict: row.swap_agreed === null || row.push_id === null ? null : { pushId: row.push_id, agreed: row.swap_agreed },
  serves: row.serves,
  error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
})

function toOrigin({ variables_of: variables, ...row }: DeployRow): Origin | null {
  if (variables === null) return null
  return { releaseId: row.from_release_id, number: row.from_number, environment: row.from_environment, variables }
}

export async function findDeploy(q: Queryable, id: number): Promise<Deploy | null> {
  const rows = await q.query<DeployRow>(`${selectDeploy} where d.id = $1`, [id], prepared)
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

export async function listStepsDone(q: Queryable, deployId: number): Promise<DeployStep[]> {
  const rows = await q.query<{ step: DeployStep }>(
    `select step from deploy_steps where deploy_id = $1 and outcome = 'done'`,
    [deployId],
    prepared,
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
export async function updateOwn(q: Queryable, own: Own, set: string, values: readonly unknown[]): Promise<void> {
  const rows = await q.query(
    `update deploys set ${set} where id = $1 and lease_owner = $2 and state = 'running' returning id`,
    [own.id, own.worker, ...values],
  )
  if (rows.length === 0) throw new LostDeployError(own)
}

/**
 * One statement: a step's record is on the way of every push, five times. False when somebody wants the deploy to end, which
 * then comes first.
 */
export async function recordStepBegun(q: Queryable, own: Own, step: DeployStep): Promise<boolean> {
  const rows = await q.query<{ begins: boolean }>(
    `with own as (
       select id, cancel_requested_at is null as begins from deploys
       where id = $1 and lease_owner = $2 and state = 'running' for update
     ), stepped as (
       update deploys d set step = $3 from own where d.id = own.id and own.begins
     ), begun as (
       insert into deploy_steps (deploy_id, step) select id, $3 from own where begins on conflict do nothing
     )
     select begins from own`,
    [own.id, own.worker, step],
    prepared,
  )
  if (rows[0] === undefined) throw new LostDeployError(own)
  return rows[0].begins
}

/** Returns how long it took, in milliseconds. */
export async function recordStepEnded(
  q: Queryable,
  own: Own,
  step: DeployStep,
  outcome: 'done' | 'failed' | 'cancelled',
): Promise<number> {
  const rows = await q.query<{ ms: number }>(
    `update deploy_steps s set outcome = $4, finished_at = now() from deploys d
     where s.deploy_id = $1 and s.step = $3 and d.id = s.deploy_id and d.lease_owner = $2 and d.state = 'running'
     returning (extract(epoch from now() - s.started_at) * 1000)::float8 as ms`,
    [own.id, own.worker, step, outcome],
    prepared,
  )
  if (rows[0] === undefined) throw new LostDeployError(own)
  return rows[0].ms
}

/** What it had taken is given up: its start goes on, with the time that was lost, and its checks come once more. */
export async function recordStartsAnew(tx: Transaction, { id }: Own): Promise<void> {
  await tx.query(`delete from deploy_steps where deploy_id = $1 and step = 'check'`, [id])
  await tx.query(`update deploy_steps set outcome = null, finished_at = null where deploy_id = $1 and step = 'start'`, [
    id,
  ])
}

export async function recordBuild(tx: Transaction, own: Own, buildId: number): Promise<void> {
  await updateOwn(tx, own, 'build_id = $3', [buildId])
}

/** Where its build stands in the line of builds, in words; nobody is shown it once the build has a slot. */
export async function recordBuildPlace(q: Queryable, own: Own, place: string): Promise<void> {
  await updateOwn(q, own, 'waiting_for = $3', [place])
}

/** A deploy of a release that is there: its commit and branch are the ones it was made from. */
export async function recordSameRelease(
  tx: Transaction,
  own: Own,
  { releaseId, buildId }: { releaseId: number; buildId: number },
): Promise<void> {
  await updateOwn(
    tx,
    own,
    `release_id = $3, build_id = $4, commit = (select commit from builds where id = $4),
     branch = (select s.branch from routes t join deploys s on s.id = t.deploy_id
       where t.environment_id = deploys.environment_id)`,
    [releaseId, buildId],
  )
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

export async function isStopped(q: Queryable, environmentId: number): Promise<boolean> {
  const rows = await q.query<{ stopped: boolean }>(
    `select state = 'stopped' as stopped from environments where id = $1`,
    [environmentId],
  )
  return rows[0]?.stopped === true
}

/** What going live changes of the environment: one that was stopped runs, and pushes to it are held, or not any more. */
export async function settleEnvironment(tx: Transaction, deploy: Deploy): Promise<void> {
  await tx.query(
    `update environments set state = case state when 'stopped' then 'active' else state end, held = coalesce($2, held),
       version = version + 1
     where id = $1 and (state = 'stopped' or held <> $2)`,
    [deploy.environmentId, holdAfter(deploy)],
  )
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

/** The environment's deploys whose instances let their last requests finish. */
export async function listDrainingDeploys(q: Queryable, environmentId: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select distinct i.deploy_id as id from instances i join releases r on r.id = i.release_id
     where r.environment_id = $1 and i.state = 'draining'`,
    [environmentId],
  )
  return rows.map((row) => row.id)
}
