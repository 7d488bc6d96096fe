import { lockColumns, type LockRow, toLock } from '../environments/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { StatusFacts } from './status.ts'

/** An environment and what its status is told from. */
export interface EnvironmentFacts extends Omit<StatusFacts, 'unapplied'> {
  readonly environmentId: number
  readonly app: string
  readonly environment: string
  readonly label: string
  readonly isLiveEnvironment: boolean
  readonly release: number | null
  readonly since: Date | null
}

interface FactsRow extends LockRow {
  environment_id: number
  app: string
  environment: string
  label: string
  is_live: boolean
  wanted: StatusFacts['wanted']
  branch: string | null
  head: string | null
  release: number | null
  since: Date | null
  commit: string | null
  deployed_branch: string | null
  maintained: boolean
  undeployed: number | null
  left_out: number | null
  instances: number
  down: number
  loops: boolean
  revoked_at: Date | null
  last_state: NonNullable<StatusFacts['lastDeploy']>['state'] | null
  last_finished_at: Date | null
  last_commands_ran: boolean | null
  deploying: number | null
  deploying_step: string | null
  deploying_since: Date | null
  draining: number
  drains_itself: boolean
  warm: number | null
  warm_until: Date | null
}

/** Of one app, or of all: one statement, whatever their number. The database is asked for the last deploy by index. */
export async function listFacts(q: Queryable, appId: number | null): Promise<EnvironmentFacts[]> {
  const rows = await q.query<FactsRow>(
    `with drains as (
       select r.environment_id, array_agg(distinct i.release_id) filter (where i.warm_until is null or i.warm_until <= now()) as releases,
         max(r.number) filter (where i.warm_until > now()) as warm, max(i.warm_until) filter (where i.warm_until > now()) as warm_until
       from instances i join releases r on r.id = i.release_id where i.state = 'draining' group by 1
     )
     select e.id as environment_id, a.name as app, e.name as environment, e.label, e.live as is_live, e.state as wanted, ${lockColumns('e')},
       exists (select 1 from environment_maintenance m where m.environment_id = e.id) as maintained,
       coalesce(e.branch, a.default_branch) as branch, br.head,
       r.number as release, t.changed_at as since, b.commit, src.branch as deployed_branch,
       c.undeployed, c.left_out,
       coalesce(i.instances, 0) as instances, coalesce(i.down, 0) as down, coalesce(i.loops, false) as loops,
       i.revoked_at,
       d.state as last_state, d.finished_at as last_finished_at, d.commands_ran as last_commands_ran,
       n.id as deploying, n.step as deploying_step, n.started_at as deploying_since,
       coalesce(cardinality(array_remove(dr.releases, t.release_id)), 0) as draining,
       coalesce(t.release_id = any(dr.releases), false) as drains_itself,
       dr.warm, dr.warm_until
     from environments e
     join apps a on a.id = e.app_id
     left join branches br on br.app_id = a.id and br.name = coalesce(e.branch, a.default_branch)
     left join routes t on t.environment_id = e.id and t.release_id is not null
     left join releases r on r.id = t.release_id
     left join builds b on b.id = r.build_id
     left join commit_counts c on c.environment_id = e.id and c.deployed = b.commit and c.head = br.head
     left join lateral (
       -- Not "order by id limit 1": the planner then walks through the deploys of all environments.
       select (array_agg(branch order by id))[1] as branch from deploys where release_id = r.id
     ) src on true
     left join lateral (
       -- A worker is started after the swap: for that while it is not up, but nothing has crashed.
       select count(*)::int as instances, bool_or(crash_loop_since is not null) as loops,
         max(r.variables_revoked_at) filter (where created_at < r.variables_revoked_at) as revoked_at,
         (count(down_since) filter (where process = 'web' or end_count > 0
           or greatest(down_since, t.changed_at) < now() - interval '15 s'))::int as down
       from instances where release_id = r.id and state = 'serving'
     ) i on true
     left join lateral (
       select state, finished_at, commands_ran from deploys
       where environment_id = e.id and finished_at is not null
       order by finished_at desc, id desc limit 1
     ) d on true
     left join deploys n on n.environment_id = e.id and n.state = 'running'
     left join drains dr on dr.environment_id = e.id
     ${appId === null ? '' : 'where a.id = $1'}
     order by a.name, e.live, e.id`,
    appId === null ? [] : [appId],
  )
  return rows.map(toFacts)
}

function toFacts(row: FactsRow): EnvironmentFacts {
  const { last_state: state, last_finished_at: finishedAt, deploying_since: since } = row
  return {
    environmentId: row.environment_id,
    app: row.app,
    environment: row.environment,
    label: row.label,
    isLiveEnvironment: row.is_live,
    release: row.release,
    since: row.since,
    wanted: row.wanted,
    lock: toLock(row),
    isMaintained: row.maintained,
    live:
      row.commit === null
        ? null
        : {
            commit: row.commit,
            branch: row.deployed_branch,
            instances: row.instances,
            down: row.down,
            isCrashLoop: row.loops,
            revokedAt: row.revoked_at,
          },
    lastDeploy:
      state === null || finishedAt === null
        ? null
        : { state, finishedAt, commandsRan: row.last_commands_ran === true && state !== 'live' },
    deploying: row.deploying === null || since === null ? null : { id: row.deploying, step: row.deploying_step, since },
    draining: row.draining,
    drainsItself: row.drains_itself,
    warm: row.warm === null || row.warm_until === null ? null : { release: row.warm, until: row.warm_until },
    branch: row.branch,
    head: row.head,
    commits:
      row.undeployed === null || row.left_out === null ? null : { undeployed: row.undeployed, leftOut: row.left_out },
  }
}

/** What is live in an environment, the head of its branch, and that nobody has counted what lies between. */
export interface Uncounted {
  readonly environmentId: number
  readonly app: string
  readonly deployed: string
  readonly head: string
}

export async function listUncounted(q: Queryable, options: { appIds: readonly number[] | null }): Promise<Uncounted[]> {
  return q.query<Uncounted>(
    `select e.id as "environmentId", a.name as app, b.commit as deployed, br.head
     from environments e
     join apps a on a.id = e.app_id
     join branches br on br.app_id = a.id and br.name = coalesce(e.branch, a.default_branch)
     join routes t on t.environment_id = e.id
     join releases r on r.id = t.release_id
     join builds b on b.id = r.build_id
     where b.commit <> br.head ${options.appIds === null ? '' : 'and a.id = any($1)'}
       and not exists (select 1 from commit_counts c where c.environment_id = e.id and c.deployed = b.commit and c.head = br.head)
     order by e.id`,
    options.appIds === null ? [] : [options.appIds],
  )
}

export async function recordCount(
  q: Queryable,
  { environmentId, deployed, head }: Uncounted,
  counted: { undeployed: number; leftOut: number },
): Promise<void> {
  await q.query(
    `insert into commit_counts (environment_id, deployed, head, undeployed, left_out)
     select id, $2, $3, $4, $5 from environments where id = $1
     on conflict (environment_id) do update set deployed = $2, head = $3, undeployed = $4, left_out = $5`,
    [environmentId, deployed, head, counted.undeployed, counted.leftOut],
  )
}

/** The apps of which something happened behind a place that may have moved a head or what is live, and the place to go on from. */
export async function listMoved(q: Queryable, after: string): Promise<{ appIds: number[]; end: string }> {
  const rows = await q.query<{ app_ids: number[] | null; end: string }>(
    `select (pg_snapshot_xmin(pg_current_snapshot()))::text as end,
       array_agg(distinct app_id) filter (where app_id is not null) as app_ids
     from events
     where xid >= $1::xid8 and xid < pg_snapshot_xmin(pg_current_snapshot())
       and (kind = 'push.received' or kind = 'deploy.live' or kind like 'environment.%' or kind like 'app.%')`,
    [after],
  )
  return { appIds: (rows[0]?.app_ids ?? []).map(Number), end: rows[0]?.end ?? after }
}

export async function findNow(q: Queryable): Promise<string> {
  const rows = await q.query<{ xid: string }>('select pg_snapshot_xmin(pg_current_snapshot())::text as xid')
  return rows[0]?.xid ?? '0'
}

/** The names of variables that are not as the live release has them; of environments where there are any. */
export async function listVariableChanges(q: Queryable, appId: number | null): Promise<Map<number, string[]>> {
  const rows = await q.query<{ environment_id: number; names: string[] }>(
    `select e.id as environment_id, array_agg(x.name order by x.name) as names
     from environments e
     join routes t on t.environment_id = e.id
     join releases r on r.id = t.release_id
     cross join lateral (
       select coalesce(v.name, m.key) as name
       from (select name, encode(mark, 'hex') as mark from variables where environment_id = e.id) v
       full join jsonb_each_text(r.variable_marks) m on m.key = v.name
       where v.mark is distinct from m.value
     ) x
     ${appId === null ? '' : 'where e.app_id = $1'}
     group by e.id`,
    appId === null ? [] : [appId],
  )
  return new Map(rows.map((row) => [row.environment_id, row.names]))
}

/** The processes of which another number is wanted than was started, by environment. As `countInstances` of deploys says it. */
export async function listProcessChanges(q: Queryable, appId: number | null): Promise<Map<number, string[]>> {
  // Of all environments the instances are counted in one pass; of one app's each is found by index.
  const started =
    appId === null
      ? `left join (
           select deploy_id, process, count(*) as started from instances where state = 'serving' group by 1, 2
         ) i on i.deploy_id = t.deploy_id and i.process = p.name`
      : `cross join lateral (
           select count(*) as started from instances
           where deploy_id = t.deploy_id and process = p.name and state = 'serving'
         ) i`
  const rows = await q.query<{ environment_id: number; names: string[] }>(
    `select e.id as environment_id, array_agg(p.name order by p.name) as names
     from environments e
     join routes t on t.environment_id = e.id
     join releases r on r.id = t.release_id
     join builds b on b.id = r.build_id
     cross join lateral jsonb_to_recordset(coalesce(b.config -> 'processes', '[]')) as p (name text, instances integer)
     -- Not a join: a planner that knows nothing of the processes reads the scales of all environments for it.
     cross join lateral (
       select coalesce((select instances from scales where environment_id = e.id and process = p.name), p.instances) as wanted
     ) w
     ${started}
     where e.state = 'active' ${appId === null ? '' : 'and e.app_id = $1'}
       and coalesce(i.started, 0) <> case
         when p.name <> 'web' then w.wanted when e.live then greatest(1, w.wanted) else 1 end
     group by e.id`,
    appId === null ? [] : [appId],
  )
  return new Map(rows.map((row) => [row.environment_id, row.names]))
}
