import type { Statements } from './statements.ts'
import type { Work } from './table.ts'
import type { DeployRow, LogRow, Tables } from './tables.ts'
import { leaseMs } from '../../../src/deploys/line-store.ts'

/* The statements of src/deploys/line-store.ts and log.ts. */

const idOf = ({ id }: { id: number }): { id: number } => ({ id })
const isAmong = (ids: readonly number[], { id }: { id: number }): boolean => ids.includes(id)
const isOpen = ({ state }: DeployRow): boolean => state === 'waiting' || state === 'running'
const held = (worker: string, work: Work): Partial<DeployRow> => ({
  ...{ lease_owner: worker, lease_until: work.nowMs + leaseMs },
})

const unlocked = {
  ...{ locked_at: null, locked_by: null, lock_reason: null },
  ...{ lock_waits: false, lock_allows_rollbacks: false },
}

export const lineStatements: Statements = {
  // No environment is locked here.
  'select supersede, state, environments.locked_at, environments.locked_by, environments.lock_reason, environments.lock_waits, environments.lock_allows_rollbacks from environments where id = $1 for no key update':
    (t, work, [id]) =>
      t.environments
        .lock(work, (row) => row.id === id)
        .map(({ supersede }) => ({ supersede, state: 'active', ...unlocked })),

  "coalesce(b.state = 'waiting', false) as": (t, work, [environment]) =>
    t.deploys
      .select(work, (d) => d.environment_id === environment && isOpen(d))
      .toSorted((a, b) => a.id - b.id)
      .map((d) => {
        const [b] = d.build_id === null ? [] : t.builds.select(work, ({ id }) => id === d.build_id)
        return {
          ...{ id: d.id, state: d.state, priority: d.priority, replaceable: d.replaceable, step: d.step },
          isPush: d.kind === 'push',
          awaitsOthers: d.state === 'running' && d.step === 'check' && d.swap_agreed === false,
          waitsForSlot: b?.state === 'waiting',
          isEnding: d.cancel_requested_at !== null || d.error_code !== null,
          isHeld: false,
        }
      }),

  'insert into deploys (': (t, work, [environment_id, kind, branch, commit, requested_by, push_id, ...place]) => {
    const [
      priority,
      replaceable,
      release_id,
      force_rebuild,
      swap_agreed,
      from_release_id,
      variables_of,
      holds,
      build_id,
    ] = place
    const empty = { step: null, superseded_by: null, waiting_for: null }
    const never = { cancel_requested_at: null, cancel_requested_by: null, error_code: null, error_message: null }
    const unheld = { lease_owner: null, lease_until: null, started_at: null, finished_at: null }
    const asked = {
      environment_id,
      kind,
      branch,
      commit,
      requested_by,
      push_id,
      priority,
      replaceable,
      release_id,
      force_rebuild,
      swap_agreed,
      from_release_id,
      variables_of,
      holds,
      build_id,
    }
    const row: DeployRow = {
      ...{ ...empty, ...never, ...unheld, ...asked },
      ...{ id: t.deploys.nextId(work), state: 'waiting', commands_ran: false, created_at: work.nowMs },
    }
    return [idOf(t.deploys.insert(work, row))]
  },

  "set state = 'superseded', finished_at = now() where {waits} returning id$": (t, work, _args, asks) =>
    t.deploys.update(work, asks('waits'), () => ({ state: 'superseded', finished_at: work.nowMs })).map(idOf),

  'update deploys set cancel_requested_at = now() where {may} returning id$': (t, work, _args, asks) =>
    t.deploys.update(work, asks('may'), () => ({ cancel_requested_at: work.nowMs })).map(idOf),

  'update deploys set superseded_by = $2 where id = any($1)': (t, work, [ids, by]) => {
    t.deploys.update(
      work,
      (d) => isAmong(ids, d),
      () => ({ superseded_by: by }),
    )
    return []
  },

  'waiting_for is distinct from $2': (t, work, [id, text]) =>
    t.deploys
      .update(
        work,
        (d) => d.id === id && d.state === 'waiting' && d.waiting_for !== text,
        () => ({ waiting_for: text }),
      )
      .map(idOf),

  "set state = 'cancelled', finished_at = now(), waiting_for = null where {waits} returning id$": (
    t,
    work,
    _args,
    asks,
  ) =>
    t.deploys
      .update(work, asks('waits'), () => ({ state: 'cancelled', finished_at: work.nowMs, waiting_for: null }))
      .map(idOf),

  'select id, {asked} as asked from deploys where {runs} for no key update) as w': (t, work, [id, by], asks) =>
    t.deploys
      .lock(work, asks('runs'))
      .filter(asks('asked'))
      .flatMap(() =>
        t.deploys.update(
          work,
          (d) => d.id === id,
          (d) => ({
            cancel_requested_at: d.cancel_requested_at ?? work.nowMs,
            cancel_requested_by: d.cancel_requested_by ?? by,
          }),
        ),
      )
      .map(() => ({ asked: true })),

  "select 1 from deploys where id = $1 and state = 'running'": (t, work, [id]) =>
    t.deploys.select(work, (d) => d.id === id && d.state === 'running').map(() => ({ '?column?': 1 })),

  "select d.id from deploys d join environments e on e.id = d.environment_id where {waits} and not (e.locked_at is not null and d.kind not in ('restart', 'scale', 'start') and not (d.kind = 'rollback' and (e.lock_allows_rollbacks or d.reverts is not null))) and not exists (select 1 from deploys r where r.environment_id = d.environment_id and {busy}) and not exists (select 1 from deploys f where f.environment_id = d.environment_id and {alsoWaits} and (f.priority > d.priority or f.priority = d.priority and f.id < d.id) and not (e.locked_at is not null and f.kind not in ('restart', 'scale', 'start') and not (f.kind = 'rollback' and (e.lock_allows_rollbacks or f.reverts is not null)))) order by d.priority desc, d.id for no key update of d skip locked limit 1 )":
    (t, work, [worker], asks) => {
      const busy = t.deploys.select(work, asks('busy')).map((d) => d.environment_id)
      const ready = t.deploys
        .select(work, (d) => asks('waits')(d) && !busy.includes(d.environment_id))
        .toSorted((a, b) => b.priority - a.priority || a.id - b.id)
      for (const { id, environment_id, priority } of ready) {
        const comesBefore = (d: DeployRow): boolean =>
          d.environment_id === environment_id && (d.priority > priority || (d.priority === priority && d.id < id))
        if (t.deploys.select(work, (d) => asks('alsoWaits')(d) && comesBefore(d)).length > 0) continue
        if (t.deploys.lock(work, (d) => d.id === id, { skipLocked: true }).length === 0) continue
        const begun = { state: 'running', started_at: work.nowMs, waiting_for: null, ...held(worker, work) } as const
        return t.deploys
          .update(
            work,
            (d) => d.id === id,
            () => begun,
          )
          .map((d) => ({ id, environmentId: d.environment_id }))
      }
      return []
    },

  "select id from deploys where state = 'running' and lease_owner = $1$": (t, work, [worker]) =>
    t.deploys.select(work, (d) => d.state === 'running' && d.lease_owner === worker).map(idOf),

  'select id from deploys where {runs} and cancel_requested_at is not null$': (t, work, _args, asks) =>
    t.deploys.select(work, (d) => asks('runs')(d) && d.cancel_requested_at !== null).map(idOf),

  "update deploys set lease_owner = $1, lease_until = now() + interval '30000 milliseconds' where {taken} returning id$":
    (t, work, [worker], asks) => t.deploys.update(work, asks('taken'), () => held(worker, work)).map(idOf),

  "update deploys set lease_until = now() + interval '30000 milliseconds' where {own} returning id$": (
    t,
    work,
    _args,
    asks,
  ) => t.deploys.update(work, asks('own'), () => ({ lease_until: work.nowMs + leaseMs })).map(idOf),

  'set lease_owner = null, lease_until = null where {own}$': (t, work, _args, asks) => {
    t.deploys.update(work, asks('own'), () => ({ lease_owner: null, lease_until: null }))
    return []
  },
}

type Lines = readonly [first: number, kinds: readonly LogRow['kind'][], texts: readonly string[]]

function addLines(t: Tables, work: Work, id: number, lines: Lines): void {
  const [first, kinds, texts] = lines
  for (const [i, text] of texts.entries()) {
    const kind = kinds[i] as LogRow['kind']
    t.log(id).insert(work, { deploy_id: id, seq: first + i, at: work.nowMs, kind, text })
  }
}

export const logStatements: Statements = {
  'select coalesce(max(seq), 0)::int as seq from deploy_log': (t, work, [id]) => [
    {
      seq: Math.max(
        0,
        ...t
          .log(id)
          .select(work, () => true)
          .map(({ seq }) => seq),
      ),
    },
  ],

  'coalesce(sum(octet_length(text)': (t, work, [id, lineBytes]) => [
    {
      bytes: t
        .log(id)
        .select(work, ({ kind }) => kind === 'output')
        .reduce((sum, { text }) => sum + Buffer.byteLength(text) + (lineBytes as number), 0),
    },
  ],

  'select $1, $2 + l.n - 1, l.kind, l.text from unnest': (t, work, [id, first, kinds, texts]) => {
    addLines(t, work, id, [first, kinds, texts])
    return []
  },

  'with own as (select id from deploys where {own}), written as ( insert into deploy_log (deploy_id, seq, kind, text) select own.id, $2 + l.n - 1, l.kind, l.text from own, unnest($3::text[], $4::text[]) with ordinality as l (kind, text, n) )':
    (t, work, [id, first, kinds, texts], asks) => {
      const own = t.deploys.select(work, asks('own')).map(idOf)
      if (own.length > 0) addLines(t, work, id, [first, kinds, texts])
      return own
    },

  'with own as (select id from deploys where {own}), written as ( insert into deploy_log (deploy_id, seq, kind, text) select own.id, $2 + l.n - 1, l.kind, l.text from own, unnest($3::text[], $4::text[]) with ordinality as l (kind, text, n) on conflict (deploy_id, seq) do nothing )':
    (t, work, [id, first, kinds, texts], asks) => {
      const own = t.deploys.select(work, asks('own')).map(idOf)
      const there = new Set(
        t
          .log(id)
          .select(work, () => true)
          .map(({ seq }) => seq),
      )
      if (own.length > 0) {
        for (const [i, text] of (texts as string[]).entries()) {
          if (!there.has((first as number) + i)) addLines(t, work, id, [(first as number) + i, [kinds[i]], [text]])
        }
      }
      return own
    },
}
