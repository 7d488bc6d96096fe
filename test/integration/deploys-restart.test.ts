import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeProcesses, type Processes } from '../../src/deploys/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeStatuses } from '../../src/status/index.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/** Deploys of the release that serves: restarts and other numbers of instances. */

let spine: Spine
let processes: Processes

beforeEach(async () => {
  spine = await makeSpine()
  const worker = { name: 'worker', run: 'python worker.py', instances: 1 }
  spine.config = { ...spine.config, processes: [{ name: 'web', run: null, instances: 1 }, worker] }
  processes = makeProcesses({ db: spine.db, deploys: spine.deploys })
})
afterEach(() => spine.close())

const shown = async (name: 'test' | 'live'): Promise<string[]> =>
  (await spine.deploys.listInstances((await spine.environment(name)).id)).map(
    (i) => `v${i.releaseNumber} ${i.process}.${i.position} ${i.state} d${i.deployId}`,
  )
const restart = async (name: 'test' | 'live'): Promise<number> =>
  (await processes.restart(await spine.environment(name), 'ada')).deployId
const hosts = async (): Promise<string[]> => [...(await spine.router.read()).hosts.keys()].sort()

describe('a restart', () => {
  it('starts the same release beside itself, swaps, and builds nothing; the release’s address goes on', async () => {
    const first = await spine.push('test', commitOf('a'))
    await spine.log(first)
    let builds = 0
    spine.onBuild = async () => void (builds += 1)
    spine.config = { ...spine.config, releaseCommands: [{ label: 'x', run: 'false', on: ['deploy'], timeoutMs: 1000 }] }
    const again = await restart('test')
    const log = await spine.log(again)
    expect(log.at(-1)).toBe(`machine: slipway: deploy=${again} environment=test release=v1 status=live`)
    expect(log.join('\n')).not.toMatch(/Building|release command/)
    expect(builds).toBe(0)
    await waitFor('the old ones', 30_000, async () => (await shown('test')).length === 2)
    expect(await shown('test')).toEqual([`v1 web.1 serving d${again}`, `v1 worker.1 serving d${again}`])
    const { keys, sets } = await spine.router.read()
    expect([...sets.keys()]).toEqual([`d${again}`])
    expect([...keys.values()]).toEqual([
      { set: `d${again}`, size: 1 },
      { set: `d${again}`, size: 1 },
    ])
    expect(await hosts()).toEqual(['test--shop.localhost', 'v0--test--shop.localhost', 'v1--test--shop.localhost'])
    expect(await spine.db.query('select 1 from releases')).toHaveLength(1)
    expect(await spine.deploys.get(again)).toMatchObject({ kind: 'restart', releaseNumber: 1, commit: commitOf('a') })
  })

  it('that fails its checks leaves what serves, its set and its release’s address', async () => {
    const first = await spine.push('test', commitOf('a'))
    await spine.log(first)
    const before = await spine.router.read()
    const real = { ...spine.runtime }
    spine.runtime.start = async (spec, signal) => {
      const instance = await real.start(spec, signal)
      setTimeout(() => spine.runtime.end(instance.containerId, { exitCode: 3 }), 1)
      return instance
    }
    expect((await spine.log(await restart('test'))).at(-1)).toMatch(/release=v1 status=failed/)
    expect(await shown('test')).toEqual([`v1 web.1 serving d${first}`, `v1 worker.1 serving d${first}`])
    const after = await spine.router.read()
    expect({ keys: after.keys, sets: after.sets, hosts: after.hosts }).toEqual({
      keys: before.keys,
      sets: before.sets,
      hosts: before.hosts,
    })
  })

  it('behind a push in the line is of what the push brought', async () => {
    await spine.log(await spine.push('test', commitOf('a')))
    const pushed = await spine.push('test', commitOf('b'))
    const again = await restart('test')
    await spine.log(pushed)
    expect((await spine.log(again)).at(-1)).toMatch(/release=v2 status=live/)
    expect((await spine.deploys.get(again)).commit).toBe(commitOf('b'))
  })

  it('taken over after a crash goes on; one of an environment that has nothing is refused', async () => {
    await expect(restart('live')).rejects.toThrow('Nothing was deployed to live of shop yet.')
    await spine.log(await spine.push('test', commitOf('a')))
    const again = await restart('test')
    await spine.restart()
    expect((await spine.log(again)).at(-1)).toMatch(/release=v1 status=live/)
    await waitFor('the old ones', 30_000, async () => (await shown('test')).length === 2)
    expect(spine.runtime.names()).toHaveLength(2)
  })
})

describe('a scale', () => {
  it('waits for the next deploy, or comes at once beside what serves; all of a set swap together', async () => {
    const live = await spine.environment('live')
    const first = await spine.deploy('live', commitOf('a'))
    await spine.log(first)
    const runs = async () => (await processes.list(live)).processes.map((p) => `${p.name} ${p.running} → ${p.wanted}`)
    const statuses = makeStatuses({
      db: spine.db,
      commits: { countBetween: async () => null },
      logger: silentLogger,
    })
    const unapplied = async () =>
      (await statuses.list()).find(({ facts }) => facts.environmentId === live.id)?.facts.unapplied
    expect(await unapplied()).toEqual([])
    expect(await processes.scale(live, { web: 3, worker: 2 }, { by: 'ada', now: false })).toBeNull()
    expect(await runs()).toEqual(['web 1 → 3', 'worker 1 → 2'])
    expect(await unapplied()).toEqual([{ what: 'processes', names: ['web', 'worker'] }])
    expect(await shown('live')).toEqual([`v1 web.1 serving d${first}`, `v1 worker.1 serving d${first}`])

    // Nothing new: nothing is told.
    await processes.scale(live, { web: 3 }, { by: 'ada', now: false })

    const changes = spine.router.changes.length
    const queued = await processes.scale(live, { worker: null, web: 3 }, { by: 'ada', now: true })
    const log = await spine.log(queued?.deployId ?? 0)
    expect(log.at(-1)).toMatch(/release=v1 status=live/)
    expect(log).toContain('detail: 3 × web; after the swap 1 × worker')
    // What served before may be led to once more meanwhile: its worker has just come up.
    const swaps = spine.router.changes.slice(changes).filter((change) => change.startsWith(`swap e${live.id} `))
    expect(swaps.filter((swap) => swap !== `swap e${live.id} d${first}/1`)).toEqual([
      `swap e${live.id} d${queued?.deployId}/3`,
    ])
    expect(swaps.at(-1)).toBe(`swap e${live.id} d${queued?.deployId}/3`)
    await waitFor('the old ones', 30_000, async () => (await shown('live')).length === 4)
    expect(await runs()).toEqual(['web 3 → 3', 'worker 1 → 1'])
    expect(await unapplied()).toEqual([])

    await spine.log(await spine.deploy('live', commitOf('b')))
    await waitFor('the older ones', 30_000, async () => (await shown('live')).length === 4)
    expect(await runs()).toEqual(['web 3 → 3', 'worker 1 → 1'])
    const again = await spine.log((await processes.restart(live, 'ada')).deployId)
    expect(again).toContain('detail: 3 × web; after the swap 1 × worker')
    const told = await spine.db.query(
      `select kind, actor, data from events where kind = 'environment.scaled' order by id`,
    )
    expect(told).toEqual([
      expect.objectContaining({
        data: expect.objectContaining({ change: { web: 3, worker: 2 }, before: { web: null, worker: null } }),
      }),
      expect.objectContaining({ data: expect.objectContaining({ change: { worker: null }, before: { worker: 2 } }) }),
    ])
  })

  it('of somebody who has not seen another’s is refused; it is told whose it was', async () => {
    const live = await spine.environment('live')
    await spine.log(await spine.deploy('live', commitOf('a')))
    const seen = live.version
    await processes.scale(live, { worker: 3 }, { by: 'ada', now: false, ifVersion: seen })
    const late = { by: 'bob', now: true, ifVersion: seen }
    await expect(processes.scale(live, { worker: 1 }, late)).rejects.toMatchObject({
      code: 'conflict',
      message: `live of shop was changed meanwhile: it is version ${seen + 1} now, not ${seen}. Nothing was changed by this.`,
    })
    expect(await spine.db.query(`select 1 from deploys where kind = 'scale'`)).toEqual([])
    const now = await spine.environment('live')
    const { processes: all } = await processes.list(now)
    expect(all.find(({ name }) => name === 'worker')).toMatchObject({ wanted: 3, scaled: { by: 'ada' } })
    // The same once more is no change.
    await processes.scale(live, { worker: 3 }, { by: 'bob', now: false, ifVersion: now.version })
    expect((await spine.environment('live')).version).toBe(now.version)
  })

  it('before the first deploy is shown as it was asked for', async () => {
    const live = await spine.environment('live')
    await processes.scale(live, { worker: 2 }, { by: 'ada', now: false })
    const { release, processes: shownNow } = await processes.list(live)
    expect([release, shownNow.map((p) => `${p.name} ${p.wanted}`)]).toEqual([null, ['web 1', 'worker 2']])
  })

  it('that is refused changes nothing', async () => {
    const test = await spine.environment('test')
    await spine.log(await spine.push('test', commitOf('a')))
    for (const wish of [{ worker: 5, web: 2 }, { worker: -1 }, { worker: 10_000 }, { gone: 1 }])
      await expect(processes.scale(test, wish, { by: 'ada', now: true })).rejects.toThrow()
    expect(await spine.db.query('select * from scales')).toEqual([])
    expect(await spine.db.query(`select 1 from deploys where kind = 'scale'`)).toEqual([])
  })
})
