import type { Queryable } from '../../postgres/database.ts'
import type { InstanceRecord } from '../instances.ts'

/** A release that somebody asked for at its own address, as far as the answer depends on it. */
export interface AskedRelease {
  readonly releaseId: number
  readonly number: number
  readonly appId: number
  readonly app: string
  readonly environment: string
  readonly environmentId: number
  readonly label: string
  readonly live: boolean
  /** The environment runs: it is neither stopped nor about to be removed. */
  readonly isActive: boolean
  readonly commit: string
  readonly createdAt: Date
  readonly buildId: number
  /** Its image is there. */
  readonly isKept: boolean
  /** A value that its image was built with was revoked since. */
  readonly holdsRevoked: boolean
  /** A deploy of it went live, for however long: it has passed its checks and its release commands have run. */
  readonly wasLive: boolean
  /** The first deploy of it: what its instances belong to. */
  readonly madeBy: number
  /** The newest release that was made of it anew, and went live; null: none was. */
  readonly rebuiltAs: number | null
  /** When a value of its variables was revoked last: what was read of them before that is not used any more. */
  readonly revokedAt: string | null
  /** Of an instance that is there, whatever started it, rather of one that does not drain; null: none is. */
  readonly instance: InstanceRecord['state'] | null
  /** How long what drains may still take for the requests that it has; 0 when nothing drains. */
  readonly drainLeftMs: number
}

export async function findAskedRelease(
  q: Queryable,
  { label, number }: { readonly label: string; readonly number: number },
): Promise<AskedRelease | null> {
  const rows = await q.query<AskedRelease>(
    `select r.id as "releaseId", r.number, a.id as "appId", a.name as app, e.name as environment, e.id as "environmentId", e.label, e.live,
       e.state = 'active' as "isActive", b.commit, r.created_at as "createdAt", b.id as "buildId",
       b.state = 'succeeded' and b.image_removed_at is null as "isKept", b.image -> 'revoked' is not null as "holdsRevoked",
       exists (select 1 from deploys d where d.release_id = r.id and d.state in ('live', 'reverted')) as "wasLive",
       r.variables_revoked_at::text as "revokedAt",
       (select min(d.id) from deploys d where d.release_id = r.id) as "madeBy",
       (select i.state from instances i where i.release_id = r.id and i.state <> 'retired'
        order by i.state = 'draining' limit 1) as instance,
       coalesce((select greatest(0, extract(epoch from max(i.drain_until) - now()) * 1000) from instances i
        where i.release_id = r.id and i.state = 'draining'), 0)::float8 as "drainLeftMs",
       (select n.number from deploys d join releases n on n.id = d.release_id
        where d.rebuild_of_release_id = r.id and d.state = 'live' order by d.id desc limit 1) as "rebuiltAs"
     from environments e
     join apps a on a.id = e.app_id
     join releases r on r.environment_id = e.id and r.number = $2
     join builds b on b.id = r.build_id
     where e.label = $1`,
    [label, number],
  )
  return rows[0] ?? null
}
