import type { Queryable } from '../postgres/database.ts'

export interface Earlier {
  readonly environmentId: number
  /** What serves. */
  readonly current: number
  /** Variables are not gone back to: what differs from what serves in them alone is no other release. */
  readonly keepsVariables: boolean
}

/**
 * The newest release that served before the one that does, and is another. One that came by a rollback counts as what was gone
 * back to: what was gone back from is never gone back to. With `kept` only those whose image is there.
 */
export async function findEarlier(
  q: Queryable,
  { environmentId, current, keepsVariables }: Earlier,
  { kept = false }: { kept?: boolean } = {},
): Promise<number | null> {
  const rows = await q.query<{ number: number }>(
    `with recursive origins as (
       select id, number, build_id, variable_marks from releases where environment_id = $1 and number = $2
       union
       select r.id, r.number, r.build_id, r.variable_marks
       from origins o
       join deploys d on d.release_id = o.id and d.kind = 'rollback'
       join releases r on r.id = d.from_release_id
     )
     select r.number from releases r join builds b on b.id = r.build_id
     where r.environment_id = $1 and r.number < (select min(number) from origins)
       and exists (select 1 from deploys d where d.release_id = r.id and d.state = 'live')
       and not exists (
         select 1 from origins o where o.build_id = r.build_id and ($3 or o.variable_marks = r.variable_marks))
       and ($4 is false or b.image_removed_at is null)
     order by r.number desc limit 1`,
    [environmentId, current, keepsVariables, kept],
  )
  return rows[0]?.number ?? null
}

/** The release that served right before this one; null: its image is gone, or none did. */
export async function findLeft(q: Queryable, environmentId: number, number: number): Promise<number | null> {
  const rows = await q.query<{ number: number; removed: boolean }>(
    `select r.number, b.image_removed_at is not null as removed from releases r join builds b on b.id = r.build_id
     where r.environment_id = $1 and r.number < $2
       and exists (select 1 from deploys d where d.release_id = r.id and d.state = 'live')
     order by r.number desc limit 1`,
    [environmentId, number],
  )
  return rows[0] === undefined || rows[0].removed ? null : rows[0].number
}

/** A release command that ran for another build since one first served: what it did to the data stays done. */
export interface CommandSince {
  readonly label: string
  readonly deployId: number
  /** Null: that deploy came to none. */
  readonly release: number | null
  readonly at: Date
  /** Null: it was stopped. */
  readonly exitCode: number | null
}

const mostCommands = 50

/** Newest first, and how many there are. */
export async function listCommandsSince(
  q: Queryable,
  environmentId: number,
  releaseId: number,
): Promise<{ total: number; first: CommandSince[] }> {
  const rows = await q.query<CommandSince & { total: number }>(
    `with first as (
       select min(d.id) as id, min(own.build_id) as build_id
       from releases own
       join releases r on r.build_id = own.build_id and r.environment_id = own.environment_id
       join deploys d on d.release_id = r.id and d.state = 'live'
       where own.id = $2
     )
     select c.label, c.deploy_id as "deployId", r.number as release, c.started_at as at, c.exit_code as "exitCode",
       count(*) over () as total
     from first
     join deploys d on d.environment_id = $1 and d.id > first.id and d.commands_ran and d.build_id <> first.build_id
     join release_commands c on c.deploy_id = d.id
     left join releases r on r.id = d.release_id
     order by c.deploy_id desc, c.position limit $3`,
    [environmentId, releaseId, mostCommands],
  )
  return { total: rows[0]?.total ?? 0, first: rows.map(({ total: _total, ...command }) => command) }
}
