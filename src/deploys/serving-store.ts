import type { Queryable, Transaction } from '../postgres/database.ts'

/*
 * What serves in an environment, and that nothing does.
 */

/** Null: there is no such environment. */
export async function recordStopped(
  tx: Transaction,
  environmentId: number,
): Promise<{ appId: number; name: string } | null> {
  const [stopped] = await tx.query<{ appId: number; name: string }>(
    `update environments set state = 'stopped', version = version + 1 where id = $1 returning app_id as "appId", name`,
    [environmentId],
  )
  return stopped ?? null
}

/** The release that serves, or that served when the environment was stopped; with the branch of its first deploy. */
export async function findServed(
  q: Queryable,
  environmentId: number,
): Promise<{ releaseId: number; commit: string; branch: string | null } | null> {
  const [served] = await q.query<{ releaseId: number; commit: string; branch: string | null }>(
    `select t.release_id as "releaseId", b.commit, (
       select d.branch from deploys d where d.release_id = t.release_id order by d.id limit 1) as branch
     from routes t join releases r on r.id = t.release_id join builds b on b.id = r.build_id where t.environment_id = $1`,
    [environmentId],
  )
  return served ?? null
}

/** An environment, and the deploy that started what serves there. */
export async function findServingDeploy(
  q: Queryable,
  environmentId: number,
): Promise<{ state: string; name: string; app: string; deployId: number | null } | null> {
  const [found] = await q.query<{ state: string; name: string; app: string; deployId: number | null }>(
    `select e.state, e.name, a.name as app, (
       select i.deploy_id from instances i where i.release_id = t.release_id and i.state = 'serving' order by i.id limit 1
     ) as "deployId"
     from environments e join apps a on a.id = e.app_id left join routes t on t.environment_id = e.id where e.id = $1`,
    [environmentId],
  )
  return found ?? null
}

export async function removeRoute(tx: Transaction, environmentId: number): Promise<void> {
  await tx.query('delete from routes where environment_id = $1', [environmentId])
}

/** What all instances that are there may take together, in bytes. */
export async function sumMemoryLimits(q: Queryable): Promise<number> {
  const rows = await q.query<{ sum: number }>(
    `select coalesce(sum((b.config -> 'resources' ->> 'memoryBytes')::float8), 0) as sum
     from instances i join releases r on r.id = i.release_id join builds b on b.id = r.build_id
     where i.state in ('serving', 'awake', 'draining')`,
  )
  return rows[0]?.sum ?? 0
}
