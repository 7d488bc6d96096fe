import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Sibling } from './agreement.ts'

/* The SQL of strict pushes' deploys. */

const selectSiblings = `select d.id, d.environment_id as "environmentId", e.name as environment, d.state, d.swap_agreed as agreed,
    d.cancel_requested_at is not null or d.error_code is not null as "isEnding",
    (select (extract(epoch from now() - s.finished_at) * 1000)::float8 from deploy_steps s
      where s.deploy_id = d.id and s.step = 'check' and s.outcome = 'done') as "passedForMs"
  from deploys d join environments e on e.id = d.environment_id
  where d.push_id = $1 and d.swap_agreed is not null order by d.id`

export async function listSiblings(q: Queryable, pushId: number): Promise<Sibling[]> {
  return q.query(selectSiblings, [pushId])
}

/** They do not change until the transaction ends. Who calls it holds their environments' lines. */
export async function lockSiblings(tx: Transaction, pushId: number): Promise<Sibling[]> {
  return tx.query(`${selectSiblings} for no key update of d`, [pushId])
}

export async function recordAgreed(tx: Transaction, pushId: number): Promise<void> {
  await tx.query('update deploys set swap_agreed = true where push_id = $1 and swap_agreed = false', [pushId])
}

/** Asks running deploys to end; their worker says why. */
export async function askToEnd(tx: Transaction, ids: readonly number[]): Promise<void> {
  await tx.query(
    `update deploys set cancel_requested_at = now()
     where id = any($1) and state = 'running' and cancel_requested_at is null and error_code is null`,
    [ids],
  )
}

/** Ends a deploy that has not begun. */
export async function failWaiting(tx: Transaction, id: number, message: string): Promise<void> {
  await tx.query(
    `update deploys set state = 'failed', finished_at = now(), waiting_for = null, error_code = 'conflict', error_message = $2
     where id = $1 and state = 'waiting'`,
    [id, message],
  )
}
