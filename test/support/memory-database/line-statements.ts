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

export const lineStatements: Statements = {
  'select supersede, state from environments where id = $1 for no key update': (t, work, [id]) =>
    t.environments.lock(work, (row) => row.id === id).map(({ supersede }) => ({ supersede, state: 'active' })),

  "coalesce(b.state = 'waiting', false) as": (t, work, [environment]) =>
    t.deploys
      .select(work, (d) => d.environment_id === environment && isOpen(d))
      .toSorted((a, b) => a.id - b.id)
      .map((d) => {
        const [b] = d.build_id === null ? [] : t.builds.select(work, ({ id }) => id === d.build_id)
        return {
          ...{ id: d.id, state: d.state, priority: d.priority, replaceable: d.replaceable, step: d.step },
          waitsForSlot: b?.state === 'waiting',
          isEnding: d.cancel_requested_at !== null || d.error_code !== null,
        }
      }),

  'insert into deploys (': (t, work, [environment_id, kind, branch, commit, requested_by, push_id, ...place]) => {
    const [priority, replaceable] = place
    const empty = { step: null, build_id: null, release_id: null, superseded_by: null, waiting_for: null }
    const never = { cancel_requested_at: null, cancel_requested_by: null, error_code: null, error_message: null }
    const unheld = { lease_owner: null, lease_until: null, started_at: null, finished_at: null }
    const asked = { environment_id, kind, branch, commit, requested_by, push_id, priority, replaceable }
    const row: DeployRow = {
      ...{ ...empty, ...never, ...unheld, ...asked },
      ...{ id: t.deploys.nextId(work), state: 'waiting', commands_ran: false, created_at: work.nowMs },
    }
    return [idOf(t.deploys.insert(work, row))]
  },

  "set state = 'superseded', finished_at = now() where id = any($1) and state = 'waiting'": (t, work, [ids]) =>
    t.deploys
      .update(
        work,
        (d) => isAmong(ids, d) && d.state === 'waiting',
        () => ({ state: 'superseded', finished_at: work.nowMs }),
      )
      .map(idOf),

  "state = 'running' and (step is null or step = 'build') and cancel_requested_at is null": (t, work, [ids]) =>
    t.deploys
      .update(
        work,
        (d) =>
          isAmong(ids, d) &&
          d.state === 'running' &&
          (d.step === null || d.step === 'build') &&
          d.cancel_requested_at === null &&
          d.error_code === null,
        () => ({ cancel_requested_at: work.nowMs }),
      )
      .map(idOf),

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

  "set state = 'cancelled', finished_at = now(), waiting_for = null": (t, work, [id]) =>
    t.deploys
      .update(
        work,
        (d) => d.id === id && d.state === 'waiting',
        () => ({ state: 'cancelled', finished_at: work.nowMs, waiting_for: null }),
      )
      .map(idOf),

  'cancel_requested_at = coalesce(d.cancel_requested_at, now())': (t, work, [id, by]) =>
    t.deploys
      .lock(work, (d) => d.id === id && d.state === 'running')
      .filter(({ step }) => step !== 'swap')
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

  'for update skip locked limit 1 ) returning id, environment_id as "environmentId"': (t, work, [worker]) => {
    const busy = t.deploys.select(work, ({ state }) => state === 'running').map((d) => d.environment_id)
    const ready = t.deploys
      .select(work, (d) => d.state === 'waiting' && !busy.includes(d.environment_id))
      .toSorted((a, b) => b.priority - a.priority || a.id - b.id)
    for (const { id } of ready) {
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

  "state = 'running' and lease_owner = $1 and cancel_requested_at is not null": (t, work, [worker]) =>
    t.deploys
      .select(work, (d) => d.state === 'running' && d.lease_owner === worker && d.cancel_requested_at !== null)
      .map(idOf),

  "milliseconds' where state = 'running' returning id$": (t, work, [worker]) =>
    t.deploys
      .update(
        work,
        (d) => d.state === 'running',
        () => held(worker, work),
      )
      .map(idOf),

  'lease_owner is distinct from $1 and coalesce(lease_until': (t, work, [worker]) =>
    t.deploys
      .update(
        work,
        (d) => d.state === 'running' && d.lease_owner !== worker && (d.lease_until ?? -Infinity) < work.nowMs,
        () => held(worker, work),
      )
      .map(idOf),

  'update deploys set lease_until = now() + interval': (t, work, [worker]) =>
    t.deploys
      .update(
        work,
        (d) => d.state === 'running' && d.lease_owner === worker,
        () => held(worker, work),
      )
      .map(idOf),

  'set lease_owner = null, lease_until = null': (t, work, [worker]) => {
    t.deploys.update(
      work,
      (d) => d.state === 'running' && d.lease_owner === worker,
      () => ({ lease_owner: null, lease_until: null }),
    )
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

const owns = (t: Tables, work: Work, id: number, worker: string): { id: number }[] =>
  t.deploys.select(work, (d) => d.id === id && d.lease_owner === worker).map(idOf)

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

  'unnest($3::text[], $4::text[]) with ordinality as l (kind, text, n) )': (
    t,
    work,
    [id, first, kinds, texts, worker],
  ) => {
    const own = owns(t, work, id, worker)
    if (own.length > 0) addLines(t, work, id, [first, kinds, texts])
    return own
  },

  'on conflict (deploy_id, seq) do nothing )': (t, work, [id, first, kinds, texts, worker]) => {
    const own = owns(t, work, id, worker)
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
