import { holdImage } from '../../builds/index.ts'
import { appendEvent } from '../../kernel/events.ts'
import type { Queryable, Transaction } from '../../postgres/database.ts'
import { type AddressRange, takeAddress } from '../../runtime/index.ts'
import { haveAddresses } from '../exposures.ts'
import { findExposures } from '../exposures-store.ts'
import type { ReleaseSpec } from '../release-spec.ts'
import type { AskedRelease } from './asked-store.ts'

/*
 * Rows of instances that run for a release's own address. Each is the first web instance of the deploy that made the release: its row
 * comes back, and is retired again. It may have served a later release last, which went back to it while it was warm.
 */

export interface Waking {
  readonly instanceId: number
  readonly address: string
}

/**
 * Begins: the image stays, and the row is there before the container is. Null when it may not be any more: the environment was stopped,
 * its releases have no addresses, a value
 * of the release or of its image was revoked since it was asked for, or it has an instance already.
 */
export async function insertWaking(
  tx: Transaction,
  release: AskedRelease,
  { spec, range }: { readonly spec: ReleaseSpec; readonly range: AddressRange },
): Promise<Waking | null> {
  const { environmentId, releaseId } = release
  const [environment] = await tx.query<{ state: string }>('select state from environments where id = $1 for share', [
    environmentId,
  ])
  if (environment?.state !== 'active') return null
  if (!haveAddresses(release, await findExposures(tx, environmentId))) return null
  await holdImage(tx, release.buildId)
  const { drainMs, stopMs } = spec.build.config
  const [row] = await tx.query<{ id: number }>(
    `insert into instances as i (release_id, deploy_id, process, position, port, drain_ms, stop_ms, state)
     select $1, $2, 'web', 1, $3, $4, $5, 'waking'
     where not exists (select 1 from instances where release_id = $1 and state <> 'retired')
       and (select variables_revoked_at::text from releases where id = $1) is not distinct from $6
       and not exists (select 1 from releases r join builds b on b.id = r.build_id where r.id = $1 and b.image -> 'revoked' is not null)
     on conflict (deploy_id, process, position) do update set
       release_id = excluded.release_id, port = excluded.port, drain_ms = excluded.drain_ms, stop_ms = excluded.stop_ms, state = 'waking', created_at = now(),
       container_id = null, drain_until = null, down_since = null, end_count = 0, ends = '{}', last_exit_code = null,
       last_out_of_memory = false, crash_loop_since = null, start_attempts = 0, start_error = null, next_start_at = null
     where i.state = 'retired'
     returning id`,
    [releaseId, release.madeBy, spec.port.port, drainMs, stopMs, release.revokedAt],
  )
  if (row === undefined) return null
  return { instanceId: row.id, address: await takeAddress(tx, row.id, range) }
}

export async function countAwake(q: Queryable, environmentId: number): Promise<number> {
  const rows = await q.query<{ count: number }>(
    `select count(*)::int as count from instances i join releases r on r.id = i.release_id
     where i.state in ('waking', 'awake') and r.environment_id = $1`,
    [environmentId],
  )
  return rows[0]?.count ?? 0
}

/** `was`: it is awake already. Null when it was told to end meanwhile. */
export async function recordAwake(tx: Transaction, instanceId: number): Promise<'is' | 'was' | null> {
  const [row] = await tx.query<{ before: string }>(
    `update instances i set state = 'awake' from (select id, state from instances where id = $1 for update) b
     where i.id = b.id and b.state in ('waking', 'awake') returning b.state as before`,
    [instanceId],
  )
  if (row === undefined) return null
  return row.before === 'awake' ? 'was' : 'is'
}

/** It takes no new requests any more. False when it had ended already. */
export async function recordAsleep(q: Queryable, instanceId: number): Promise<boolean> {
  const rows = await q.query(
    `update instances set state = 'draining', drain_until = now() + drain_ms * interval '1 millisecond'
     where id = $1 and state in ('waking', 'awake') returning id`,
    [instanceId],
  )
  return rows.length > 0
}

export async function tellRelease(
  tx: Transaction,
  kind: 'release.woken' | 'release.wake-failed',
  { releaseId, number, environmentId }: Pick<AskedRelease, 'releaseId' | 'number' | 'environmentId'>,
  data: { readonly error?: string } = {},
): Promise<void> {
  const [app] = await tx.query<{ id: number }>('select app_id as id from environments where id = $1', [environmentId])
  if (app === undefined) return
  await appendEvent(tx, { kind, appId: app.id, environmentId, data: { release: number, releaseId, ...data } })
}
