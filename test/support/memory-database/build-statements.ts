import { type Args, type Asks, one, type Statements } from './statements.ts'
import type { Work } from './table.ts'
import type { BuildRow, Tables } from './tables.ts'

/* The statements of src/builds/store.ts and src/releases/store.ts. */

const columnsOf = ({ id, app_id, number, commit, config, state, image }: BuildRow): object => {
  return { id, app_id, number, commit, config, state, image }
}
const isOpen = ({ state }: { state: string }): boolean => state === 'waiting' || state === 'running'
const idOf = ({ id }: { id: number }): { id: number } => ({ id })

/** `updateOwn`, with what it sets. */
const setOwn =
  (set: (args: Args) => Partial<BuildRow>) =>
  (t: Tables, work: Work, args: Args, asks: Asks): object[] =>
    t.builds.update(work, asks('own'), () => set(args)).map(idOf)

const nobody = { state: 'cancelled', error: 'Nobody waited for it any more.' } as const

export const buildStatements: Statements = {
  'select 1 from apps where id = $1 for no key update': (t, work, [id]) =>
    t.apps.lock(work, (row) => row.id === id).map(() => ({ '?column?': 1 })),

  "from builds where key = $1 and state in ('waiting', 'running')": (t, work, [key]) =>
    t.builds.select(work, (row) => row.key === key && isOpen(row)).map(columnsOf),

  'update apps set last_build_number = last_build_number + 1': (t, work, [id]) =>
    t.apps
      .update(
        work,
        (row) => row.id === id,
        (row) => ({ last_build_number: row.last_build_number + 1 }),
      )
      .map((row) => ({ n: row.last_build_number })),

  'insert into builds (': (t, work, [app_id, number, commit, key, config]) => {
    const unknown = {
      image: null,
      finished_at: null,
      error: null,
      error_code: null,
      error_hint: null,
      lease_owner: null,
    }
    const wanted = { app_id, number, commit, key, config: JSON.parse(config) as BuildRow['config'] }
    return [columnsOf(t.builds.insert(work, { ...unknown, ...wanted, id: t.builds.nextId(work), state: 'waiting' }))]
  },

  'select id, app_id, number, commit, config, state, image from builds where id = $1': (t, work, [id]) =>
    t.builds.select(work, (row) => row.id === id).map(columnsOf),

  'update builds set lease_owner = $2 where id = $1': (t, work, [id, worker]) =>
    t.builds
      .update(
        work,
        (row) => row.id === id && isOpen(row),
        () => ({ lease_owner: worker }),
      )
      .map(columnsOf),

  'select 1 from builds where id = $1 and lease_owner = $2$': (t, work, [id, worker]) =>
    t.builds.select(work, (row) => row.id === id && row.lease_owner === worker).map(() => ({ '?column?': 1 })),

  "select 1 from builds where id = $1 and lease_owner = $2 and state = 'cancelled'": (t, work, [id, worker]) =>
    t.builds
      .select(work, (row) => row.id === id && row.lease_owner === worker && row.state === 'cancelled')
      .map(() => ({ '?column?': 1 })),

  // No image is given up here.
  'where id = any($1) and image_removed_at is not null': () => [],
  "select id from builds where id = any($1) and state = 'succeeded'$": (t, work, [ids]) =>
    t.builds.select(work, (row) => (ids as number[]).includes(row.id) && row.state === 'succeeded').map(idOf),
  "update builds set state = 'waiting' where {own} returning id$": setOwn(() => ({ state: 'waiting' })),
  "update builds set state = 'running', host = $3, started_at = coalesce(started_at, now()) where {own} returning id$":
    setOwn(() => ({ state: 'running' })),
  "update builds set state = 'succeeded', key = split_part(key, ':', 1), image = $3, finished_at = now() where {own} returning id$":
    (t, work, [, , image], asks) =>
      t.builds
        .update(work, asks('own'), ({ key }) => ({
          ...{ state: 'succeeded', key: key.split(':')[0] ?? '', finished_at: work.nowMs },
          image: JSON.parse(image) as BuildRow['image'],
        }))
        .map(idOf),

  // No image is given up here.
  "from builds where key = $1 and state = 'succeeded' and image_removed_at is null and image -> 'revoked' is null order by id desc limit 3":
    (t, work, [key]) =>
      t.builds
        .select(work, (row) => row.key === key && row.state === 'succeeded')
        .toSorted((a, b) => b.id - a.id)
        .slice(0, 3)
        .map(columnsOf),

  "select state = 'succeeded' and image_removed_at is null as there from builds where id = $1 for key share": (
    t,
    work,
    [id],
  ) => t.builds.select(work, (row) => row.id === id).map(({ state }) => ({ there: state === 'succeeded' })),

  'from builds b left join releases r on r.build_id = b.id left join environments e on e.id = r.environment_id where b.id = $1 order by r.id + 0 limit 1':
    (t, work, [id]) => {
      const { finished_at } = one(t.builds.select(work, (row) => row.id === id))
      const [first] = t.releases.select(work, (row) => row.build_id === id).toSorted((a, b) => a.id - b.id)
      const [of] = t.environments.select(work, (row) => row.id === first?.environment_id)
      const ageMs = work.nowMs - (finished_at as number)
      return [{ release: first?.number ?? null, environment: of?.name ?? null, ageMs }]
    },
  "update builds set state = 'failed', error = $3, error_code = $4, error_hint = $5, finished_at = now() where {own} returning id$":
    setOwn(([, , error, error_code, error_hint]) => ({
      ...{ state: 'failed', error, error_code, error_hint },
    })),

  "coalesce(error_code, 'build_failed') as code": (t, work, [id]) =>
    t.builds
      .select(work, (row) => row.id === id && row.state === 'failed')
      .map((row) => ({ code: row.error_code ?? 'build_failed', message: row.error ?? '', hint: row.error_hint })),

  "from deploys d where {waits}) as wanted ), ended as ( update builds set state = 'cancelled', error = 'Nobody waited for it any more.', finished_at = now() where {own} and not (select wanted":
    (t, work, _args, asks) => {
      const wanted = t.deploys.select(work, asks('waits')).length > 0
      if (!wanted) t.builds.update(work, asks('own'), () => nobody)
      return [{ wanted }]
    },

  'where b.state in (': (t, work, [made]) => {
    t.builds.update(
      work,
      (b) => isOpen(b) && !(made as number[]).includes(b.id) && !isWanted(t, work, b),
      () => nobody,
    )
    return []
  },

  "from builds b where id = any($1) and state <> 'succeeded'": (t, work, [ids]) =>
    t.builds
      .select(work, (b) => (ids as number[]).includes(b.id) && b.state !== 'succeeded' && !isWanted(t, work, b))
      .map(idOf),

  'insert into release_numbers': (t, work, [environmentId, build_id]) => {
    const e = one(t.environments.select(work, ({ id }) => id === environmentId))
    const [counted] = t.releaseNumbers.update(
      work,
      (row) => row.app_id === e.app_id && row.environment_name === e.name,
      (row) => ({ last_number: row.last_number + 1 }),
    )
    const { last_number } =
      counted ?? t.releaseNumbers.insert(work, { app_id: e.app_id, environment_name: e.name, last_number: 1 })
    const id = t.releases.nextId(work)
    const row = { id, environment_id: environmentId, number: last_number, build_id, created_at: work.nowMs }
    return [releaseOf(t.releases.insert(work, row))]
  },

  'select id, environment_id, number, build_id, created_at from releases where id = $1': (t, work, [id]) =>
    t.releases.select(work, (row) => row.id === id).map(releaseOf),
}

const releaseOf = (row: { created_at: number }): object => ({ ...row, created_at: new Date(row.created_at) })

const isWanted = (t: Tables, work: Work, { id }: BuildRow): boolean =>
  t.deploys.select(work, (d) => d.build_id === id && isOpen(d)).length > 0
