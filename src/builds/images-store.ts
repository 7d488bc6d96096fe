import { appendEvent } from '../kernel/events.ts'
import type { Queryable, Transaction } from '../postgres/database.ts'

export interface GivenUpImage {
  readonly buildId: number
  readonly digest: string
}

/**
 * Records that these images go, but for those that are needed after all. The rows are locked before it is looked: whoever
 * holds an image has either done so before, and is seen, or comes after and finds it given up.
 */
export async function giveUpImages(tx: Transaction, buildIds: readonly number[]): Promise<GivenUpImage[]> {
  await tx.query('select id from builds where id = any($1) order by id for update', [buildIds])
  const given = await tx.query<GivenUpImage & { appId: number; build: number; releases: string[] }>(
    `update builds b set image_removed_at = now()
     where b.id = any($1) and b.state = 'succeeded' and b.image_removed_at is null
       and not exists (select 1 from deploys d where d.build_id = b.id and d.state in ('waiting', 'running'))
       and not exists (
         select 1 from releases r where r.build_id = b.id and (
           r.pinned
           or exists (select 1 from instances i where i.release_id = r.id and i.state <> 'retired')
           or exists (select 1 from routes t where t.environment_id = r.environment_id and t.release_id = r.id)
           or exists (select 1 from deploys d where d.release_id = r.id and d.state in ('waiting', 'running'))))
       and not exists (
         select 1 from builds o
         where o.image ->> 'digest' = b.image ->> 'digest' and o.image_removed_at is null and o.id <> b.id)
     returning b.id as "buildId", b.image ->> 'digest' as digest, b.app_id as "appId", b.number as build, array(
       select e.name || ' v' || r.number from releases r join environments e on e.id = r.environment_id
       where r.build_id = b.id order by r.id) as releases`,
    [buildIds],
  )
  for (const { appId, build, releases } of given) {
    await appendEvent(tx, { kind: 'image.removed', appId, data: { build, releases } })
  }
  return given
}

/** False when it was given up. */
export async function lockImage(tx: Transaction, buildId: number): Promise<boolean> {
  const rows = await tx.query<{ there: boolean }>(
    `select state = 'succeeded' and image_removed_at is null as there from builds where id = $1 for key share`,
    [buildId],
  )
  return rows[0]?.there ?? false
}

/** Those of these builds whose image was to go. */
export async function findGivenUpImages(q: Queryable, buildIds: readonly number[]): Promise<GivenUpImage[]> {
  return q.query(
    `select id as "buildId", image ->> 'digest' as digest from builds b
     where id = any($1) and image_removed_at is not null
       and not exists (
         select 1 from builds o
         where o.image ->> 'digest' = b.image ->> 'digest' and o.image_removed_at is null)`,
    [buildIds],
  )
}

/** Those of these builds that are finished: nothing of theirs is being made. */
export async function findFinished(q: Queryable, buildIds: readonly number[]): Promise<number[]> {
  const rows = await q.query<{ id: number }>(`select id from builds where id = any($1) and state = 'succeeded'`, [
    buildIds,
  ])
  return rows.map((row) => row.id)
}
