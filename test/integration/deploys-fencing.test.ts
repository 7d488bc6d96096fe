import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { LostBuildError } from '../../src/builds/index.ts'
import { claimNextDeploy } from '../../src/deploys/line-store.ts'
import { recordEnd, recordStepBegun } from '../../src/deploys/store.ts'
import { type Clock, systemClock } from '../../src/kernel/clock.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

let spine: Spine

beforeEach(async () => {
  spine = await makeSpine()
})
afterEach(() => spine.close())

const ownerOf = async (id: number): Promise<unknown> =>
  (await spine.db.query('select state, step, lease_owner as owner from deploys where id = $1', [id]))[0]

async function until(done: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await done())) {
    if (Date.now() > end) throw new Error('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Heartbeats come every 50 ms, and time can be made to jump, as it does for a process that was stopped. */
function makeClock(): Clock & { jump(ms: number): void } {
  let jumpedMs = 0
  return {
    now: () => new Date(),
    monotonicMs: () => systemClock.monotonicMs() + jumpedMs,
    sleep: (ms, signal) => systemClock.sleep(ms >= 10_000 ? 50 : ms, signal),
    jump: (ms) => (jumpedMs += ms),
  }
}

describe('a worker that has lost its deploy', () => {
  it('changes nothing of it any more', async () => {
    const { id: environmentId } = await spine.environment('test')
    const request = { environmentId, kind: 'push', branch: 'main', commit: commitOf('a'), requestedBy: 'ada' } as const
    // Nobody is woken: the claim below takes it.
    await spine.db.transaction((tx) => spine.deploys.request(tx, { ...request, pushId: null }))
    const claimed = await spine.db.transaction((tx) => claimNextDeploy(tx, 'first'))
    if (claimed === null) throw new Error('nothing was claimed')
    const { id } = claimed
    await spine.db.query(`update deploys set lease_owner = 'second' where id = $1`, [id])

    const lost = { id, worker: 'first' }
    await expect(recordStepBegun(spine.db, lost, 'build')).rejects.toMatchObject({ code: 'conflict' })
    await expect(spine.db.transaction((tx) => recordEnd(tx, lost, 'live'))).rejects.toMatchObject({ code: 'conflict' })
    expect(await ownerOf(id)).toEqual({ state: 'running', step: null, owner: 'second' })

    await recordStepBegun(spine.db, { id, worker: 'second' }, 'build')
    expect(await ownerOf(id)).toEqual({ state: 'running', step: 'build', owner: 'second' })
  })

  it.each(['check', 'swap'])(
    'that wakes in its step %s, swaps nothing and writes no line; another goes on',
    async (step) => {
      const clock = makeClock()
      let isTaken = false
      let isBegun = false
      let swaps = 0
      const freeze = async (): Promise<void> => {
        if (isBegun) return
        isBegun = true
        await spine.db.query(`update deploys set lease_owner = 'other', lease_until = now() + interval '1 hour'`)
        clock.jump(60_000)
        isTaken = true
      }
      await spine.deploys.stop()
      await spine.succeed((tools) => ({
        ...tools,
        clock,
        runtime: {
          ...tools.runtime,
          inspect: async (containerId) => {
            if (step === 'check') await freeze()
            return tools.runtime.inspect(containerId)
          },
        },
        router: {
          ...tools.router,
          defineSet: async (set, targets) => {
            if (step === 'swap') await freeze()
            return tools.router.defineSet(set, targets)
          },
          swap: async (key, to) => {
            if (key.startsWith('e')) swaps += 1
            return tools.router.swap(key, to)
          },
        },
      }))
      const id = await spine.push('test', commitOf('a'))
      await until(() => isTaken)
      const count = async (): Promise<number> =>
        (await spine.db.query('select 1 from deploy_log where deploy_id = $1', [id])).length
      const before = await count()
      await systemClock.sleep(500)
      expect({ swaps, lines: await count(), owner: await ownerOf(id) }).toEqual({
        swaps: 0,
        lines: before,
        owner: { state: 'running', step, owner: 'other' },
      })

      await spine.db.query(`update deploys set lease_until = now() - interval '1 second' where id = $1`, [id])
      const log = await spine.log(id)
      expect(log.at(-1)).toMatch(/status=live$/)
      expect(log.filter((line) => line.startsWith('machine:'))).toHaveLength(1)
      expect(spine.runtime.names()).toEqual(['slw-spine-test--shop-v1-1'])
    },
  )
})

describe('a deploy that its worker owns and is not at', () => {
  it('is taken up again by the heartbeat', async () => {
    let calls = 0
    await spine.deploys.stop()
    await spine.succeed((tools) => ({
      ...tools,
      clock: makeClock(),
      builds: {
        ...tools.builds,
        wait: async (build, plan, options) => {
          calls += 1
          if (calls === 1) throw new LostBuildError({ id: build.id, worker: 'somebody' })
          return tools.builds.wait(build, plan, options)
        },
      },
    }))
    expect((await spine.log(await spine.push('test', commitOf('a')))).at(-1)).toMatch(/status=live$/)
    expect(calls).toBe(2)
  })
})

describe('a server that is told to stop', () => {
  it('gives back what it runs: whoever comes next need not wait for the leases', async () => {
    let reached = false
    spine.onBuild = (_, signal) => {
      reached = true
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      )
    }
    const id = await spine.push('test', commitOf('a'))
    await until(() => reached)
    await spine.deploys.stop()
    expect(await ownerOf(id)).toEqual({ state: 'running', step: 'build', owner: null })
    spine.onBuild = () => Promise.resolve()
    await spine.succeed()
    const log = await spine.log(id)
    expect(log).toContain('detail: Slipway was started again; this deploy goes on where it was.')
    expect(log.at(-1)).toMatch(/status=live$/)
  })
})
