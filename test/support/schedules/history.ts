import type { DeployKind } from '../../../src/deploys/index.ts'
import { type Life, startLife } from './life.ts'
import { expectEnd } from './promptness.ts'
import type { World } from './world.ts'

/*
 * What happens to a world: people who push, promote, go back and cancel, servers that die, freeze, stop and come back, and
 * what they stand on going away. Then everything heals.
 */

export interface History {
  readonly lives: Life[]
  /** From then on one server is alive, and what it needs answers. */
  isHealed(): boolean
  healedMs(): number
}

const kinds: readonly DeployKind[] = ['push', 'push', 'push', 'push', 'deploy', 'promotion', 'rollback']
/** Of builds that fail (f…), apps that answer errors (e…), apps that end at once (d…), and good ones. */
const commits = ['a', 'b', 'c', 'aa', 'bb', 'cc', 'ab', 'd', 'e', 'f']

/** As many as there are in most histories until everything heals, before and after each effect. */
const mostCalls = { any: 600, engine: 80, proxy: 40 }

export const environmentIds = [1, 2, 3]

function fill({ database, random }: World): void {
  const { tables } = database
  const work = database.look()
  tables.apps.insert(work, { id: 1, name: 'shop', last_build_number: 0 })
  tables.apps.insert(work, { id: 2, name: 'blog', last_build_number: 0 })
  const named = [
    { id: 1, app_id: 1, name: 'test', label: 'test--shop', live: false },
    { id: 2, app_id: 1, name: 'live', label: 'shop', live: true },
    { id: 3, app_id: 2, name: 'test', label: 'test--blog', live: false },
  ]
  for (const row of named)
    tables.environments.insert(work, { ...row, supersede: random.pick(['waiting', 'running'] as const) })
  for (const change of work.changes) change('commit')
}

export function makeHistory(world: World): History {
  const { random, timeline, trace } = world
  fill(world)
  const lives: Life[] = []
  const lastsMs = random.pick([2_000, 10_000, 30_000])
  let isHealed = false

  const begin = (): void => {
    const life = startLife(world, lives.length + 1)
    lives.push(life)
    trace(`life ${life.number} begins`)
    life.deploys.start().catch((error: unknown) => {
      // As its supervisor does.
      trace(`life ${life.number} could not start: ${String(error)}`)
      life.kill()
      timeline.after(1_000, ensureAlive)
    })
  }
  const alive = (): Life[] => lives.filter((life) => life.isAlive())
  const ensureAlive = (): void => {
    if (alive().length === 0) begin()
  }
  const current = (): Life | undefined => alive().findLast((life) => !life.isFrozen())

  const request = (): void => {
    const life = current()
    const environmentId = random.pick(environmentIds)
    const kind = random.pick(kinds)
    const commit = random.pick(commits).padEnd(40, '0')
    if (life === undefined) return
    trace(`${kind} of ${commit.slice(0, 2)} to ${environmentId}`)
    const asked = { environmentId, kind, branch: 'main', commit, requestedBy: 'ada', pushId: null }
    life.db
      .transaction((tx) => life.deploys.request(tx, asked))
      .then(
        () => life.deploys.wake(),
        (error: unknown) => expectAway(error, 'a request'),
      )
    // The same push to an environment that follows the same branch.
    if (environmentId === 1 && random.chance(0.5))
      life.db
        .transaction((tx) => life.deploys.request(tx, { ...asked, environmentId: 2 }))
        .then(
          () => life.deploys.wake(),
          (error: unknown) => expectAway(error, 'a request'),
        )
  }
  const expectAway = (error: unknown, what: string): void => {
    const code = (error as { code?: string }).code ?? ''
    if (!['unavailable', 'timeout', 'conflict'].includes(code)) world.violate(`${what} failed: ${String(error)}`)
  }
  const cancel = (): void => {
    const life = current()
    const open = world.database.tables.deploys.select(world.look(), (d) => d.finished_at === null)
    if (life === undefined || open.length === 0) return
    const { id } = random.pick(open)
    trace(`cancel of ${id}`)
    life.deploys.cancel(id, 'bob').then(
      () => expectEnd(world, life, id),
      (error: unknown) => expectAway(error, 'a cancel'),
    )
  }
  const crash = (): void => {
    const life = current()
    if (life === undefined) return
    trace(`life ${life.number} is killed`)
    life.kill()
    timeline.after(random.next() * 3_000, ensureAlive)
  }
  const stop = (): void => {
    const life = current()
    if (life === undefined) return
    trace(`life ${life.number} is told to stop`)
    const end = (): void => {
      life.kill()
      timeline.after(random.next() * 500, ensureAlive)
    }
    // What it takes over while it is told to stop is for the next one, which asks nobody.
    const wasWorking = life.isWorking()
    // A signal is heard between two pieces of work, never in the middle of one.
    const stopped = Promise.resolve().then(() => life.deploys.stop())
    stopped.then(() => {
      for (const id of (wasWorking && life.held()) || [])
        world.violate(`life ${life.number} stopped and did not give deploy ${id} back`)
      end()
    }, end)
    timeline.after(20_000, () => life.isAlive() && end())
  }
  /** Longer than half a lease: its place in the database is lost, and another server takes it. */
  const freeze = (): void => {
    const life = current()
    if (life === undefined || isHealed) return
    // In the middle of something.
    const runs = world.database.tables.deploys.select(world.look(), ({ state }) => state === 'running')
    if (runs.length === 0) return timeline.after(random.next() * 500, freeze)
    const ms = 18_000 + random.next() ** 2 * 60_000
    trace(`life ${life.number} freezes for ${Math.round(ms)} ms`)
    life.freeze(ms)
    const takeOver = (): void => {
      if (current() === undefined) begin()
    }
    if (random.chance(0.7)) timeline.after(15_100 + random.next() ** 2 * (ms - 15_100), takeOver)
    // It hears that its place is lost some time after it goes on.
    timeline.after(ms + random.next() * 2_000, () => {
      if (alive().length < 2) return
      life.kill()
    })
  }
  const outage = (): void =>
    world.takeAway(random.pick(['database', 'engine', 'proxy'] as const), random.next() * 8_000)

  /** At any time, or between any two things that are done: most of the time goes by in few of them. */
  const plan = (count: number, what: () => void): void => {
    for (let i = 0; i < count; i += 1) {
      const place = random.pick([null, 'engine', 'proxy'] as const)
      if (random.chance(0.4)) timeline.after(random.next() * lastsMs, what)
      else world.atCall(place, 1 + random.below(mostCalls[place ?? 'any']), what)
    }
  }
  plan(1 + random.below(6), request)
  plan(random.below(3), cancel)
  plan(random.chance(0.6) ? 1 + random.below(3) : 0, crash)
  plan(random.chance(0.15) ? 1 : 0, stop)
  plan(random.chance(0.4) ? 1 : 0, freeze)
  plan(random.chance(0.2) ? 1 + random.below(2) : 0, outage)
  begin()

  timeline.after(lastsMs, () => {
    isHealed = true
    trace('everything heals')
    world.heal()
    const newest = alive().at(-1)
    for (const life of alive()) if (life !== newest) life.kill()
    ensureAlive()
  })
  return { lives, isHealed: () => isHealed, healedMs: () => lastsMs }
}
