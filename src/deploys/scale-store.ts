import type { AppConfig } from '../builds/index.ts'
import type { EnvironmentState } from '../environments/index.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'
import type { Asked, Scale } from './plan-instances.ts'

/** What somebody asked for, from the next deploy on. */
export async function readScale(q: Queryable, environmentId: number): Promise<Scale> {
  const rows = await q.query<Asked & { process: string }>(
    'select process, instances, changed_by as by, changed_at as at from scales where environment_id = $1',
    [environmentId],
  )
  return new Map(rows.map(({ process, ...asked }) => [process, asked]))
}

/** Takes the wish for one process, or with null forgets it. */
export async function writeScale(
  tx: Transaction,
  {
    environmentId,
    process,
    instances,
    by,
  }: { environmentId: number; process: string; instances: number | null; by: string },
): Promise<void> {
  if (instances === null) {
    await tx.query('delete from scales where environment_id = $1 and process = $2', [environmentId, process])
    return
  }
  await tx.query(
    `insert into scales (environment_id, process, instances, changed_by) values ($1, $2, $3, $4)
     on conflict (environment_id, process) do update
       set instances = excluded.instances, changed_by = excluded.changed_by, changed_at = now()`,
    [environmentId, process, instances, by],
  )
}

/** Whoever had seen the environment before has not seen this. */
export async function countChange(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('update environments set version = version + 1 where id = $1', [environmentId])
}

/** What an environment serves, as far as its processes go. */
export interface ServedRelease {
  readonly number: number
  readonly branch: string | null
  readonly commit: string
  readonly config: AppConfig
  /** Instances of each process. */
  readonly running: Readonly<Record<string, number>>
}

export async function findServed(q: Queryable, environmentId: number): Promise<ServedRelease | null> {
  const rows = await q.query<ServedRelease>(
    `select r.number, d.branch, b.commit, b.config, (
       select coalesce(jsonb_object_agg(process, count), '{}') from (
         select process, count(*) from instances where deploy_id = t.deploy_id and state = 'serving' group by process
       ) as counted
     ) as running
     from routes t join releases r on r.id = t.release_id join builds b on b.id = r.build_id
     left join deploys d on d.id = t.deploy_id
     where t.environment_id = $1`,
    [environmentId],
  )
  return rows[0] ?? null
}

/** Whether somebody has stopped the environment; locked until the transaction ends. */
export async function lockState(tx: Transaction, environmentId: number): Promise<EnvironmentState | null> {
  const rows = await tx.query<{ state: EnvironmentState }>(
    'select state from environments where id = $1 for no key update',
    [environmentId],
  )
  return rows[0]?.state ?? null
}
