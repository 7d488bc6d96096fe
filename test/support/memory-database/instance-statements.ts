import { one, type Statements } from './statements.ts'
import type { Work } from './table.ts'
import type { InstanceRow, RouteRow, Tables } from './tables.ts'

/* The statements of src/deploys/instances.ts, of src/runtime/store.ts and of the events. */

function instanceOf(t: Tables, work: Work, i: InstanceRow): object {
  const r = one(t.releases.select(work, ({ id }) => id === i.release_id))
  const e = one(t.environments.select(work, ({ id }) => id === r.environment_id))
  const [ad] = t.addresses.select(work, ({ instance_id }) => instance_id === i.id)
  return {
    ...{ id: i.id, releaseId: i.release_id, releaseNumber: r.number, deployId: i.deploy_id, environmentId: e.id },
    ...{ label: e.label, live: e.live, process: i.process, position: i.position, containerId: i.container_id },
    ...{ address: ad?.address ?? null, port: i.port, state: i.state, stopMs: i.stop_ms },
    // PostgreSQL's `greatest` passes over null.
    ...{ warmLeftMs: 0, isRevoked: false, startedFor: null, variablesRevision: null },
    drainLeftMs: Math.max(0, i.drain_until === null ? 0 : i.drain_until - work.nowMs),
    ...{ downSince: null, endCount: 0, lastExitCode: null, lastOutOfMemory: false },
    ...{ crashLoopSince: null, startError: null, startAttempts: 0, startDueMs: 0 },
  }
}

const isThere = ({ state }: InstanceRow): boolean => state !== 'retired'

function routeOf(t: Tables, work: Work, { environment_id, release_id, deploy_id }: RouteRow): object {
  const e = one(t.environments.select(work, ({ id }) => id === environment_id))
  const r = one(t.releases.select(work, ({ id }) => id === release_id))
  const { label, live } = e
  return {
    environmentId: environment_id,
    label,
    live,
    releaseId: release_id,
    releaseNumber: r.number,
    deployId: deploy_id,
    isStopped: false,
    startedFor: null,
  }
}

const restMs = 10 * 60_000

export const instanceStatements: Statements = {
  "where i.deploy_id = $1 and i.state <> 'retired' order by i.process, i.position": (t, work, [deploy]) =>
    t.instances
      .select(work, (i) => i.deploy_id === deploy && isThere(i))
      .toSorted((a, b) => a.process.localeCompare(b.process) || a.position - b.position)
      .map((i) => instanceOf(t, work, i)),

  "left join addresses ad on ad.instance_id = i.id where i.state <> 'retired' order by i.id": (t, work) =>
    t.instances
      .select(work, isThere)
      .toSorted((a, b) => a.id - b.id)
      .map((i) => instanceOf(t, work, i)),

  'insert into instances (': (t, work, [release_id, deploy_id, process, position, port, drain_ms, stop_ms]) => {
    const wanted = { release_id, deploy_id, process, position, port, drain_ms, stop_ms }
    const id = t.instances.nextId(work)
    t.instances.insert(work, { ...wanted, id, container_id: null, state: 'starting', drain_until: null })
    return [{ id }]
  },

  'update instances set container_id = $2, start_error = null where id = $1': (t, work, [id, container_id]) => {
    t.instances.update(
      work,
      (i) => i.id === id,
      () => ({ container_id }),
    )
    return []
  },

  'insert into routes (environment_id, release_id, deploy_id)': (t, work, [environment_id, release_id, deploy_id]) => {
    const changed = t.routes.update(
      work,
      (row) => row.environment_id === environment_id,
      () => ({ release_id, deploy_id }),
    )
    if (changed.length === 0) t.routes.insert(work, { environment_id, release_id, deploy_id })
    return []
  },

  "update instances set state = 'serving' where deploy_id = $1": (t, work, [deploy]) => {
    t.instances.update(
      work,
      (i) => i.deploy_id === deploy && i.state === 'starting',
      () => ({ state: 'serving' }),
    )
    return []
  },

  "update instances i set state = 'draining'": (t, work, [environment, deploy]) => {
    const ids = t.releases.select(work, (r) => r.environment_id === environment).map(({ id }) => id)
    return t.instances
      .update(
        work,
        (i) => ids.includes(i.release_id) && i.deploy_id !== deploy && i.state === 'serving',
        (i) => ({ state: 'draining', drain_until: work.nowMs + i.drain_ms }),
      )
      .map(({ deploy_id }) => ({ deploy_id }))
  },

  // Nothing is watched here.
  'where d.watch_until is not null and d.watch_until > now()': () => [],

  'select process, instances, changed_by as by, changed_at as at from scales where environment_id = $1': () => [],

  "update instances set state = 'retired' where id = $1": (t, work, [id]) => {
    t.instances.update(
      work,
      (i) => i.id === id,
      () => ({ state: 'retired' }),
    )
    return []
  },

  // Nothing is woken here.
  "where i.state = 'awake' order by i.id": () => [],

  // Nothing is protected here.
  'left join environment_rules u on u.environment_id = e.id': () => [],

  'left join releases o on o.id = w.release_id and o.id <> t.release_id$': (t, work) =>
    t.routes.select(work, () => true).map((r) => routeOf(t, work, r)),

  'left join releases o on o.id = w.release_id and o.id <> t.release_id where t.environment_id = $1': (t, work, [id]) =>
    t.routes.select(work, (row) => row.environment_id === id).map((r) => routeOf(t, work, r)),

  'select id from deploys where id = any($1) and finished_at is not null': (t, work, [ids]) =>
    t.deploys.select(work, (d) => (ids as number[]).includes(d.id) && d.finished_at !== null).map(({ id }) => ({ id })),

  // No instance ends by itself here: nothing was counted.
  'with steady as ( select id, crash_loop_since': () => [],

  'with kept as ( select address from addresses': (t, work, [instanceId]) => {
    const [kept] = t.addresses.select(work, (row) => row.instance_id === instanceId)
    if (kept !== undefined) return [{ address: kept.address }]
    const isFree = (row: { instance_id: number | null; reusable_at: number | null }): boolean =>
      row.instance_id === null && row.reusable_at !== null && row.reusable_at <= work.nowMs
    // They were made in their order.
    for (const { address } of t.addresses.select(work, isFree)) {
      if (t.addresses.lock(work, (row) => row.address === address, { skipLocked: true }).length === 0) continue
      t.addresses.update(
        work,
        (row) => row.address === address,
        () => ({ instance_id: instanceId, reusable_at: null }),
      )
      return [{ address }]
    }
    return []
  },

  'insert into addresses (address, reusable_at)': (t, work, [subnet, reserved]) => {
    const [network = '', length = ''] = (subnet as string).split('/')
    const prefix = network.replace(/\d+$/, '')
    for (let n = 1; n <= 2 ** (32 - Number(length)) - 2; n += 1) {
      const address = `${prefix}${n}`
      if ((reserved as string[]).includes(address)) continue
      if (t.addresses.select(work, (row) => row.address === address).length > 0) continue
      t.addresses.insert(work, { address, instance_id: null, reusable_at: -Infinity })
    }
    return []
  },

  'update addresses set instance_id = null, reusable_at = now()': (t, work, [instanceId]) => {
    t.addresses.update(
      work,
      (row) => row.instance_id === instanceId,
      () => ({ instance_id: null, reusable_at: work.nowMs + restMs }),
    )
    return []
  },

  'insert into events (': (t, work, [kind, _app, _environment, deploy_id]) => {
    t.events.insert(work, { kind, deploy_id })
    return []
  },
}
