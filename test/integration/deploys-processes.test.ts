import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { InstanceRecord } from '../../src/deploys/index.ts'
import { waitFor } from '../support/slipway.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/** Workers: instances without route and port, which start after the swap. */

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
  const worker = { name: 'worker', run: 'python worker.py', instances: 2 }
  spine.config = { ...spine.config, processes: [{ name: 'web', run: null, instances: 3 }, worker] }
})
afterEach(() => spine.close())

const instances = async (name: 'test' | 'live'): Promise<InstanceRecord[]> =>
  spine.deploys.listInstances((await spine.environment(name)).id)

const shown = (all: readonly InstanceRecord[]): string[] =>
  all.map((i) => `v${i.releaseNumber} ${i.process}.${i.position} ${i.state}${i.downSince === null ? '' : ' down'}`)

const kinds = async (): Promise<string[]> => {
  const rows = await spine.db.query<{ told: string }>(
    `select kind || ' ' || (data ->> 'process') || '.' || (data ->> 'position') as told from events
     where kind like 'instance.%' order by 1`,
  )
  return rows.map(({ told }) => told)
}

describe('the processes of a release', () => {
  it('workers start after the swap, without a route; the old ones are told to end after that', async () => {
    const order: string[] = []
    const real = { ...spine.runtime }
    spine.runtime.start = async (spec, signal) => {
      const { keys } = await spine.router.read()
      order.push(`start ${spec.name.slice(-12)} ${keys.size > 0 ? 'after' : 'before'} the first swap`)
      return real.start(spec, signal)
    }
    const log = await spine.log(await spine.push('test', commitOf('a')))
    expect(log.at(-1)).toMatch(/status=live/)
    await waitFor('workers', 30_000, async () => shown(await instances('test')).every((text) => !text.endsWith('down')))
    expect(order).toEqual([
      'start test--shop-v1-1 before the first swap'.replace('test--shop-v1-1', 'est--shop-v1-1'.slice(-12)),
      expect.stringMatching(/-v1-worker-[12] after/),
      expect.stringMatching(/-v1-worker-[12] after/),
    ])
    expect(shown(await instances('test'))).toEqual(['v1 web.1 serving', 'v1 worker.1 serving', 'v1 worker.2 serving'])
    expect([...(await spine.router.read()).sets.values()].map((set) => set.length)).toEqual([1])
    await waitFor('all to be kept', 30_000, () => spine.runtime.kept.size === 3)
    expect(await kinds()).toEqual(['instance.started worker.1', 'instance.started worker.2'])

    const ends: string[] = []
    spine.runtime.stop = async (id, graceMs) => {
      const found = await spine.runtime.inspect(id)
      if (found !== null) ends.push(`${found.name.replace(/.*-v/, 'v')} ${graceMs} ${spine.runtime.names().length}`)
      await real.stop(id, graceMs)
    }
    await spine.log(await spine.push('test', commitOf('b')))
    await waitFor('the old ones', 30_000, async () => (await instances('test')).length === 3)
    expect(shown(await instances('test'))).toEqual(['v2 web.1 serving', 'v2 worker.1 serving', 'v2 worker.2 serving'])
    // All six were there when the first was told to end, with the time that the app asks for.
    expect(ends.filter((text) => text.startsWith('v1-worker')).slice(0, 2)).toEqual([
      expect.stringMatching(/^v1-worker-[12] 100 6$/),
      expect.stringMatching(/^v1-worker-[12] 100 6$/),
    ])
    expect(spine.runtime.names()).toHaveLength(3)
  })

  it('live has as many web instances as it says, in one set', async () => {
    await spine.log(await spine.deploy('live', commitOf('a')))
    const { keys, sets } = await spine.router.read()
    expect([...keys.values()]).toEqual([expect.objectContaining({ size: 3 })])
    expect([...sets.values()][0]).toHaveLength(3)
    expect((await instances('live')).map(({ process }) => process)).toEqual(['web', 'web', 'web', 'worker', 'worker'])
  })

  it('a deploy that fails starts no worker and leaves none', async () => {
    spine.config = { ...spine.config, selfTests: ['exit 1'] }
    expect((await spine.log(await spine.push('test', commitOf('a')))).at(-1)).toMatch(/status=failed/)
    expect(spine.runtime.names()).toEqual([])
    expect(await instances('test')).toEqual([])
    const taken = await spine.db.query('select 1 from addresses where instance_id is not null')
    expect(taken).toEqual([])
  })

  it('workers that were not started before a crash are started by whoever comes next; one that ends is told and started again', async () => {
    const real = { ...spine.runtime }
    spine.runtime.start = (spec, signal) =>
      spec.name.includes('worker') ? Promise.reject(new Error('cut off')) : real.start(spec, signal)
    expect((await spine.log(await spine.push('test', commitOf('a')))).at(-1)).toMatch(/status=live/)
    expect(shown(await instances('test')).slice(1)).toEqual(['v1 worker.1 serving down', 'v1 worker.2 serving down'])
    spine.runtime.start = real.start.bind(real)
    await spine.db.query('update instances set next_start_at = null')
    await spine.restart()
    await waitFor('workers', 30_000, async () =>
      (await instances('test')).every(({ downSince, containerId }) => downSince === null && containerId !== null),
    )

    const worker = (await instances('test')).find(({ process, position }) => process === 'worker' && position === 2)
    await spine.db.query('update instances set next_start_at = null')
    spine.runtime.end(worker?.containerId ?? '', { exitCode: 7 })
    await waitFor('worker.2 again', 30_000, async () => {
      const now = (await instances('test')).find(({ id }) => id === worker?.id)
      return now?.endCount === 1 && now.downSince === null && now.lastExitCode === 7
    })
    expect(await kinds()).toContain('instance.died worker.2')
    expect(await kinds()).toContain('instance.restarted worker.2')
    // Nothing of that concerns the route.
    expect([...(await spine.router.read()).keys.values()]).toEqual([
      expect.objectContaining({ size: 1 }),
      expect.objectContaining({ size: 1 }),
    ])
  })
})
