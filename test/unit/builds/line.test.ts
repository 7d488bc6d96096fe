import { describe, expect, it } from '@jest/globals'
import { type BuildLine, enter, inOrder, leave, takeNext } from '../../../src/builds/line.ts'

const line = (...builds: [id: number, appId: number][]): BuildLine =>
  builds.reduce<BuildLine>((grown, [id, appId]) => enter(grown, { id, appId }), [])

describe('the line of builds', () => {
  it('gives each app a turn, and keeps the order inside an app', () => {
    expect(inOrder(line([1, 7], [2, 7], [3, 7], [4, 8], [5, 9], [6, 8]))).toEqual([1, 4, 5, 2, 6, 3])
  })

  it('goes on without a build that gave up', () => {
    expect(inOrder(leave(line([1, 7], [2, 7], [3, 8]), 1))).toEqual([2, 3])
    expect(leave(line([1, 7]), 1)).toEqual([])
  })

  it('that is empty has nobody next', () => {
    expect(takeNext([])).toBeNull()
  })

  it('tells its order: whoever is taken next stands first in it', () => {
    eachHistory((random) => {
      let now: BuildLine = []
      for (let id = 1; id <= 30; id += 1) now = enter(now, { id, appId: random(5) })
      const order = inOrder(now)
      const taken: number[] = []
      for (let next = takeNext(now); next !== null; next = takeNext(next.line)) taken.push(next.id)
      expect(taken).toEqual(order)
    })
  })

  it('lets no app wait for more builds than there are apps, whatever comes and gives up', () => {
    eachHistory((random) => {
      const apps = 1 + random(6)
      let now: BuildLine = []
      let id = 0
      /** How many builds of others began since this app last began one or had none. */
      const passed = new Map<number, number>()
      const last = new Map<number, number>()
      for (let step = 0; step < 200; step += 1) {
        const what = random(10)
        if (what < 5) {
          id += 1
          const appId = what < 3 ? 0 : random(apps)
          now = enter(now, { id, appId })
        } else if (what < 6) {
          const all = inOrder(now)
          const gone = all[random(Math.max(1, all.length))]
          if (gone !== undefined) now = leave(now, gone)
        } else {
          const next = takeNext(now)
          if (next === null) continue
          const began = now[0]?.appId as number
          // Inside an app who came first goes first.
          expect(next.id).toBeGreaterThan(last.get(began) ?? 0)
          last.set(began, next.id)
          now = next.line
          for (const { appId } of now) passed.set(appId, (passed.get(appId) ?? 0) + 1)
          passed.set(began, 0)
          for (const count of passed.values()) expect(count).toBeLessThan(apps)
        }
        for (const appId of passed.keys()) if (!now.some((turn) => turn.appId === appId)) passed.delete(appId)
      }
    })
  })
})

/** Numbers below a bound from a seed (mulberry32), for 300 seeds. */
function eachHistory(check: (random: (below: number) => number) => void): void {
  for (let seed = 1; seed <= 300; seed += 1) {
    let state = seed
    const random = (below: number): number => {
      state = (state + 0x6d2b79f5) | 0
      let t = Math.imul(state ^ (state >>> 15), 1 | state)
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
      return ((t ^ (t >>> 14)) >>> 0) % below
    }
    try {
      check(random)
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error })
    }
  }
}
