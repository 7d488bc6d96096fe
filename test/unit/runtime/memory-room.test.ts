import { describe, expect, it } from '@jest/globals'
import { makeMemoryRoom } from '../../../src/runtime/index.ts'
import { expectUse } from '../../../src/runtime/memory-room.ts'

const gb = 1024 ** 3
const mb = 1024 ** 2

function makeHost(memory: { freeBytes: number; sizeBytes: number } | null, floorBytes: number | null = null) {
  let nowMs = 0
  const asked: string[] = []
  const uses: Record<string, number | null> = {}
  const room = makeMemoryRoom({
    measure: async () => memory,
    readUse: async (containerId) => {
      asked.push(containerId)
      return uses[containerId] ?? null
    },
    floorBytes,
    clock: { now: () => new Date(0), monotonicMs: () => nowMs, sleep: async () => undefined },
  })
  return {
    asked,
    pass: (ms: number) => (nowMs += ms),
    start: (limitBytes: number, useBytes: number | null = null) =>
      room.assertForStart({
        limitBytes,
        listServing: async () => {
          asked.push('serving')
          Object.assign(uses, { web: useBytes })
          return useBytes === null ? [] : ['web', 'unknown']
        },
        readLimits: async () => {
          asked.push('limits')
          return 3 * gb
        },
      }),
  }
}

describe('a start', () => {
  it('with room for its whole limit asks nobody what it takes', async () => {
    const host = makeHost({ freeBytes: 8 * gb, sizeBytes: 16 * gb })
    await host.start(512 * mb)
    expect(host.asked).toEqual(['serving'])
  })

  it('is let through by what the running one uses, though its limit would not fit', async () => {
    const host = makeHost({ freeBytes: 300 * mb, sizeBytes: gb })
    await host.start(512 * mb, 100 * mb)
    expect(host.asked).toEqual(['serving', 'web', 'unknown'])
  })

  it('is refused with figures when that does not fit either', async () => {
    const host = makeHost({ freeBytes: 300 * mb, sizeBytes: gb })
    await expect(host.start(512 * mb, 250 * mb)).rejects.toMatchObject({
      code: 'unavailable',
      message:
        'The server has too little memory to start it: 300 MB of 1.0 GB are free; it is expected to need 312 MB, by what the running one uses, and 51 MB must stay free. Running instances may take 3.0 GB together.',
    })
  })

  it('of the first instance is expected to need half of its limit', async () => {
    await makeHost({ freeBytes: 320 * mb, sizeBytes: gb }).start(512 * mb)
    await expect(makeHost({ freeBytes: 290 * mb, sizeBytes: gb }).start(512 * mb)).rejects.toMatchObject({
      message: expect.stringContaining('half of its limit of 512 MB'),
    })
  })

  it('counts what others that just started have not taken yet', async () => {
    const host = makeHost({ freeBytes: 700 * mb, sizeBytes: gb })
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => host.start(512 * mb)))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    await expect(host.start(512 * mb)).rejects.toMatchObject({
      message: expect.stringContaining('of which 512 MB are for what has just started'),
    })
    host.pass(60_001)
    await host.start(512 * mb)
  })

  it('gives back what it was to have when it has ended', async () => {
    const host = makeHost({ freeBytes: 600 * mb, sizeBytes: gb })
    for (let n = 0; n < 100; n += 1) (await host.start(512 * mb))()
    await host.start(512 * mb)
    const giveBack = await host.start(512 * mb)
    await expect(host.start(512 * mb)).rejects.toThrow('of which 512 MB are for what has just started')
    giveBack()
    giveBack()
    await host.start(512 * mb)
  })

  it('is not refused for half the limits of others that take little', async () => {
    const host = makeHost({ freeBytes: 8 * gb, sizeBytes: 16 * gb })
    for (let n = 0; n < 100; n += 1) await host.start(512 * mb, 20 * mb)
    // Each is asked once, those that lacked room for their whole limit also before that.
    const asked = host.asked.filter((what) => what === 'web').length
    expect(asked).toBeGreaterThan(20)
    expect(asked).toBeLessThan(120)
  })

  it('leaves what was set, and at most 512 MB of a large host', async () => {
    await expect(makeHost({ freeBytes: gb, sizeBytes: 16 * gb }, gb).start(64 * mb)).rejects.toThrow('1.0 GB must stay')
    await makeHost({ freeBytes: 600 * mb, sizeBytes: 256 * gb }).start(64 * mb)
  })

  it('is not refused where the host does not tell', async () => {
    await makeHost(null).start(100 * gb)
  })
})

it('no instance is expected to need more than its limit', () => {
  expect(expectUse({ limitBytes: 100, useBytes: 90 })).toBe(100)
  expect(expectUse({ limitBytes: 100, useBytes: 10 })).toBe(13)
  expect(expectUse({ limitBytes: 100, useBytes: null })).toBe(50)
})
