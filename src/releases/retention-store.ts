import type { Queryable } from '../postgres/database.ts'
import type { KeptImage, KeptRelease } from './retention.ts'

/** Apps that have any image, from the one after `after`. */
export async function listAppsWithImages(q: Queryable, after: number, limit: number): Promise<number[]> {
  const rows = await q.query<{ id: number }>(
    `select id from apps a where id > $1
       and exists (select 1 from builds b where b.app_id = a.id and b.state = 'succeeded' and b.image_removed_at is null)
     order by id limit $2`,
    [after, limit],
  )
  return rows.map((row) => row.id)
}

/** The images of these apps. A build's row is there before its deploy's next step, so a young one is looked at later. */
export async function listKeptImages(q: Queryable, appIds: readonly number[]): Promise<KeptImage[]> {
  return q.query(
    `select b.id as "buildId", b.finished_at > now() - interval '10 minutes'
       or exists (select 1 from deploys d where d.build_id = b.id and d.state in ('waiting', 'running'))
       or exists (select 1 from releases r join deploys d on d.release_id = r.id
                  where r.build_id = b.id and d.state in ('waiting', 'running')) as awaited
     from builds b
     where b.app_id = any($1) and b.state = 'succeeded' and b.image_removed_at is null`,
    [appIds],
  )
}

export async function listKeptReleases(q: Queryable, appIds: readonly number[]): Promise<KeptRelease[]> {
  return q.query(
    `select r.environment_id as "environmentId", r.number, r.build_id as "buildId", r.pinned,
       exists (select 1 from instances i where i.release_id = r.id and i.state <> 'retired')
         or exists (select 1 from routes t where t.environment_id = r.environment_id and t.release_id = r.id)
         or exists (select 1 from deploys d join cron_runs c on c.deploy_id = d.id
                    where d.release_id = r.id and c.state in ('waiting', 'running')) as running,
       exists (select 1 from routes t where t.environment_id = r.environment_id and t.release_id = r.id) as serves,
       (select f.number from deploys d join releases f on f.id = d.from_release_id
        where d.release_id = r.id and d.kind = 'rollback' limit 1) as "backTo",
       exists (select 1 from deploys d where d.release_id = r.id and d.state = 'live') as "wasLive"
     from builds b join releases r on r.build_id = b.id
     where b.app_id = any($1) and b.state = 'succeeded' and b.image_removed_at is null`,
    [appIds],
  )
}
