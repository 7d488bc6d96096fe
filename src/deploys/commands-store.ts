import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Own } from './line-store.ts'
import { updateOwn } from './store.ts'

/*
 * Which release commands of a deploy have begun and how they ended: begun is recorded before the container starts, so that
 * none runs twice.
 */

export interface CommandRecord {
  readonly position: number
  readonly label: string
  readonly exitCode: number | null
}

export async function listCommandsBegun(q: Queryable, deployId: number): Promise<CommandRecord[]> {
  return q.query(
    `select position, label, exit_code as "exitCode" from release_commands where deploy_id = $1 order by position`,
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

export async function recordCommandEnded(tx: Transaction, own: Own, position: number, exitCode: number): Promise<void> {
  await updateOwn(tx, own, 'commands_ran = true', [])
  await tx.query('update release_commands set exit_code = $3 where deploy_id = $1 and position = $2', [
    own.id,
    position,
    exitCode,
  ])
}
