import { type Args, type Asks, at, one, type Statements } from './statements.ts'
import type { Work } from './table.ts'
import type { DeployRow, Tables } from './tables.ts'

/* The statements of src/deploys/store.ts and commands-store.ts. */

function deployOf(t: Tables, work: Work, d: DeployRow): object {
  const e = one(t.environments.select(work, ({ id }) => id === d.environment_id))
  const a = one(t.apps.select(work, ({ id }) => id === e.app_id))
  const [b] = d.build_id === null ? [] : t.builds.select(work, ({ id }) => id === d.build_id)
  const waits = d.state === 'waiting' || (d.state === 'running' && b?.state === 'waiting')
  const [r] = d.release_id === null ? [] : t.releases.select(work, ({ id }) => id === d.release_id)
  const isLed = t.routes.select(
    work,
    (row) => row.environment_id === d.environment_id && row.release_id === d.release_id,
  )
  const { id, environment_id, kind, branch, commit, requested_by, state, step, build_id, release_id } = d
  return {
    ...{ id, environment_id, app_id: e.app_id, app: a.name, environment: e.name, label: e.label, live: e.live },
    ...{ kind, branch, commit, requested_by, state, step, build_id, release_id, release_number: r?.number ?? null },
    superseded_by: d.superseded_by,
    cancel_requested: d.cancel_requested_at !== null,
    ...{
      cancel_requested_by: d.cancel_requested_by,
      waiting_for: waits ? d.waiting_for : null,
      commands_ran: d.commands_ran,
      force_rebuild: d.force_rebuild,
      from_release_id: d.from_release_id,
      from_number: null,
      from_environment: null,
      variables_of: d.variables_of,
      holds: d.holds,
      instances_of: null,
      reverts: null,
      push_id: d.push_id,
      swap_agreed: d.swap_agreed,
    },
    serves: d.state === 'live' && isLed.length > 0,
    ...{ error_code: d.error_code, error_message: d.error_message },
    ...{ created_at: at(d.created_at), started_at: at(d.started_at), finished_at: at(d.finished_at) },
  }
}

/** `updateOwn`, with what it sets. */
const setOwn =
  (set: (args: Args, work: Work) => Partial<DeployRow>) =>
  (t: Tables, work: Work, args: Args, asks: Asks): object[] =>
    t.deploys.update(work, asks('own'), () => set(args, work)).map((row) => ({ id: row.id }))

export const deployStatements: Statements = {
  'left join releases r on r.id = d.release_id where d.id = $1': (t, work, [id]) =>
    t.deploys.select(work, (row) => row.id === id).map((row) => deployOf(t, work, row)),

  "select step from deploy_steps where deploy_id = $1 and outcome = 'done'": (t, work, [id]) =>
    t.steps.select(work, (row) => row.deploy_id === id && row.outcome === 'done').map(({ step }) => ({ step })),

  'from deploy_steps where deploy_id = $1 order by started_at': (t, work, [id]) =>
    t.steps
      .select(work, (row) => row.deploy_id === id)
      .toSorted((a, b) => a.started_at - b.started_at)
      .map((row) => ({ step: row.step, ms: (row.finished_at ?? work.nowMs) - row.started_at })),

  'update deploys set build_id = $3 where {own} returning id$': setOwn(([, , build_id]) => ({ build_id })),
  'update deploys set waiting_for = $3 where {own} returning id$': setOwn(([, , waiting_for]) => ({ waiting_for })),
  'update deploys set release_id = $3 where {own} returning id$': setOwn(([, , release_id]) => ({ release_id })),
  'update deploys set error_code = $3, error_message = $4 where {own} returning id$': setOwn(
    ([, , error_code, error_message]) => ({
      ...{ error_code, error_message },
    }),
  ),
  'update deploys set state = $3, finished_at = now(), lease_owner = null where {own} returning id$': setOwn(
    ([, , state], work) => ({
      ...{ state, finished_at: work.nowMs, lease_owner: null },
    }),
  ),
  'update deploys set commands_ran = true where {own} returning id$': setOwn(() => ({ commands_ran: true })),

  'with own as ( select id, {begins} as begins from deploys where {own} for update )': (t, work, [id, , step], asks) =>
    t.deploys.lock(work, asks('own')).map((row) => {
      const begins = asks('begins')(row)
      if (!begins) return { begins }
      t.deploys.update(work, asks('own'), () => ({ step }))
      if (t.steps.select(work, (other) => other.deploy_id === id && other.step === step).length === 0) {
        t.steps.insert(work, { deploy_id: row.id, step, started_at: work.nowMs, finished_at: null, outcome: null })
      }
      return { begins }
    }),

  'where s.deploy_id = $1 and s.step = $3 and d.id = s.deploy_id and {own} returning': (
    t,
    work,
    [id, , step, outcome],
    asks,
  ) => {
    if (t.deploys.select(work, (row) => row.id === id && asks('own')(row)).length === 0) return []
    return t.steps
      .update(
        work,
        (row) => row.deploy_id === id && row.step === step,
        () => ({ outcome, finished_at: work.nowMs }),
      )
      .map((row) => ({ ms: work.nowMs - row.started_at }))
  },

  'from routes t join releases r on r.id = t.release_id where t.environment_id = $1': (t, work, [id]) =>
    t.routes
      .select(work, (row) => row.environment_id === id)
      .map(({ release_id }) => one(t.releases.select(work, (row) => row.id === release_id)))
      .map(({ id: release, number }) => ({ id: release, number })),

  // No environment is stopped or held here.
  "select state = 'stopped' as stopped from environments": () => [{ stopped: false }],
  'update environments set state = case state': () => [],

  "select id from deploys where state = 'running'$": (t, work) =>
    t.deploys.select(work, ({ state }) => state === 'running').map(({ id }) => ({ id })),

  'select distinct i.deploy_id as id from instances': (t, work, [environment]) => {
    const releases = t.releases.select(work, (row) => row.environment_id === environment).map(({ id }) => id)
    const draining = t.instances.select(work, (i) => i.state === 'draining' && releases.includes(i.release_id))
    return [...new Set(draining.map((i) => i.deploy_id))].map((id) => ({ id }))
  },

  'from release_commands where deploy_id = $1 order by position': (t, work, [id]) =>
    t.commands
      .select(work, (row) => row.deploy_id === id)
      .toSorted((a, b) => a.position - b.position)
      .map(({ position, label, exit_code }) => ({ position, label, exitCode: exit_code })),

  'insert into release_commands': (t, work, [id, position, label]) => {
    const isSame = (row: { deploy_id: number; position: number }): boolean =>
      row.deploy_id === id && row.position === position
    if (t.commands.select(work, isSame).length === 0)
      t.commands.insert(work, { deploy_id: id, position, label, started_at: work.nowMs, exit_code: null })
    return []
  },

  'join release_commands c using (deploy_id)': (t, work, [id, position]) =>
    t.commands
      .select(work, (row) => row.deploy_id === id && row.position === position)
      .map((c) => t.log(id).select(work, (l) => l.kind === 'output' && l.at >= c.started_at).length)
      .concat(0)
      .slice(0, 1)
      .map((count) => ({ count })),

  'update release_commands set exit_code = $3': (t, work, [id, position, exitCode]) => {
    t.commands.update(
      work,
      (row) => row.deploy_id === id && row.position === position,
      () => ({ exit_code: exitCode }),
    )
    return []
  },
}
