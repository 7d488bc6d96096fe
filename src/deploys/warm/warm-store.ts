import type { Queryable, Transaction } from '../../postgres/database.ts'
import type { Deploy } from '../deploy.ts'

const warmOf = `select i.deploy_id as id from instances i join releases r on r.id = i.release_id
  where i.release_id = $2 and r.environment_id = $1 and i.state = 'draining' and i.process = 'web'
    and i.warm_until > now() + interval '2 seconds'`

/** The deploy whose instances of this release are warm; null: none are, or not for much longer. */
export async function findWarm(q: Queryable, environmentId: number, releaseId: number): Promise<number | null> {
  const rows = await q.query<{ id: number }>(warmOf, [environmentId, releaseId])
  return rows[0]?.id ?? null
}

/** The same; they are locked: nobody else ends that in between. */
export async function holdWarm(tx: Transaction, environmentId: number, releaseId: number): Promise<number | null> {
  const rows = await tx.query<{ id: number }>(`${warmOf} for update of i`, [environmentId, releaseId])
  return rows[0]?.id ?? null
}

/** It must not go while it is checked. */
export async function stayWarm(tx: Transaction, deployId: number, ms: number): Promise<void> {
  await tx.query(
    `update instances set warm_until = greatest(warm_until, now() + $2 * interval '1 millisecond')
     where deploy_id = $1 and state = 'draining' and warm_until > now()`,
    [deployId, ms],
  )
}

/** They serve again, for the release that went back to them; their workers are down until they are started anew. */
export async function serveAgain(
  tx: Transaction,
  { instancesOf, releaseId }: Pick<Deploy, 'instancesOf' | 'releaseId'>,
): Promise<void> {
  await tx.query(
    `update instances set state = 'serving', release_id = $2, warm_until = null, drain_until = null, start_attempts = 0, start_error = null,
       next_start_at = null, down_since = case when process = 'web' then null else now() end
     where deploy_id = $1 and state = 'draining'`,
    [instancesOf, releaseId],
  )
}

/** Nobody goes back any more to what runs of these releases: it was started with a value that was taken out of them. */
export async function endWarm(tx: Transaction, releaseIds: readonly number[]): Promise<void> {
  await tx.query(`${endingWarm} and release_id = any($1)`, [releaseIds])
}

/** Nor to what this deploy had started. */
export async function endWarmOf(tx: Transaction, deployId: number): Promise<void> {
  await tx.query(`${endingWarm} and deploy_id = $1`, [deployId])
}

/** From now on it drains as any other. */
const endingWarm = `update instances set warm_until = null, drain_until = now() + drain_ms * interval '1 millisecond'
  where state = 'draining' and warm_until is not null`

export interface WarmRelease {
  readonly releaseId: number
  readonly number: number
  readonly commit: string
  readonly branch: string | null
}

/** What an environment would go back to without starting anything. */
export async function findWarmRelease(q: Queryable, environmentId: number): Promise<WarmRelease | null> {
  const rows = await q.query<WarmRelease>(
    `select r.id as "releaseId", r.number, b.commit, d.branch
     from instances i join releases r on r.id = i.release_id join builds b on b.id = r.build_id join deploys d on d.id = i.deploy_id
     where r.environment_id = $1 and i.state = 'draining' and i.process = 'web' and i.warm_until > now() limit 1`,
    [environmentId],
  )
  return rows[0] ?? null
}
