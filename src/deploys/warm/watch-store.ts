import type { Queryable, Transaction } from '../../postgres/database.ts'
import type { Own } from '../line-store.ts'
import { updateOwn } from '../store.ts'

export interface Watched {
  readonly id: number
  readonly appId: number
  readonly environmentId: number
  readonly environment: string
  /** Whose instances serve: another deploy's when it was started anew since. */
  readonly instancesOf: number
  readonly release: number
  readonly errors: number
}

/** From now on it is looked whether it does harm, for so long. */
export async function recordWatched(tx: Transaction, own: Own, ms: number): Promise<void> {
  await updateOwn(tx, own, `watch_until = now() + $3 * interval '1 millisecond'`, [ms])
}

/** It was live, and is gone back from by itself. Returns why; null when it was not live any more. */
export async function recordReverted(tx: Transaction, deployId: number): Promise<string | null> {
  const rows = await tx.query<{ message: string | null }>(
    `update deploys set state = 'reverted', error_code = 'reverted', watch_until = null where id = $1 and state = 'live'
     returning error_message as message`,
    [deployId],
  )
  return rows[0] === undefined ? null : (rows[0].message ?? '')
}

/** Nobody looks after it any more, for this reason. False when nobody did. */
export async function endWatch(tx: Transaction, deployId: number, why: string): Promise<boolean> {
  const rows = await tx.query(
    `update deploys set watch_until = null, error_message = $2 where id = $1 and watch_until is not null returning id`,
    [deployId, why],
  )
  return rows.length > 0
}

/** Those whose time is not over, that still serve. By index: there are few. */
export async function listWatched(q: Queryable): Promise<Watched[]> {
  return q.query(
    `select d.id, e.app_id as "appId", d.environment_id as "environmentId", e.name as environment, t.deploy_id as "instancesOf",
       r.number as release, coalesce((b.config -> 'watch' ->> 'errors')::float8, 1) as errors
     from deploys d join environments e on e.id = d.environment_id
     join routes t on t.environment_id = e.id and t.release_id = d.release_id
     join releases r on r.id = d.release_id join builds b on b.id = r.build_id
     where d.watch_until is not null and d.watch_until > now() and d.state = 'live' and e.state = 'active'`,
  )
}
