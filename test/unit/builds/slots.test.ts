import { describe, expect, it } from '@jest/globals'
import { makeBuildSlots } from '../../../src/builds/slots.ts'

const never = new AbortController().signal
const quiet = (): void => undefined
const settled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([
    promise.then(() => true).catch(() => true),
    new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
  ])

describe('slots for builds', () => {
  it('are given at once while there are any, and then in turns between apps', async () => {
    const slots = makeBuildSlots(1)
    const begun: number[] = []
    const take = async (id: number, appId: number): Promise<void> => {
      const release = await slots.take({ id, appId }, never, quiet)
      begun.push(id)
      await new Promise((resolve) => setImmediate(resolve))
      release()
    }
    await Promise.all([take(1, 7), take(2, 7), take(3, 7), take(4, 8)])
    expect(begun).toEqual([1, 2, 4, 3])
  })

  it('tell who waits its place, and again when it changes', async () => {
    const slots = makeBuildSlots(1)
    const release = await slots.take({ id: 1, appId: 7 }, never, quiet)
    const places: number[] = []
    const second = slots.take({ id: 2, appId: 7 }, never, quiet)
    const third = slots.take({ id: 3, appId: 7 }, never, (before) => places.push(before))
    expect(places).toEqual([1])
    const other = slots.take({ id: 4, appId: 8 }, never, quiet)
    expect(places).toEqual([1, 2])
    release()
    ;(await second)()
    ;(await other)()
    await third
    expect(places).toEqual([1, 2, 1, 0])
  })

  it('given back twice count once', async () => {
    const slots = makeBuildSlots(1)
    const release = await slots.take({ id: 1, appId: 7 }, never, quiet)
    release()
    release()
    await slots.take({ id: 2, appId: 7 }, never, quiet)
    expect(await settled(slots.take({ id: 3, appId: 7 }, never, quiet))).toBe(false)
  })

  it('go to the next when one who waits gives up', async () => {
    const slots = makeBuildSlots(1)
    const release = await slots.take({ id: 1, appId: 7 }, never, quiet)
    const impatient = new AbortController()
    const given = slots.take({ id: 2, appId: 7 }, impatient.signal, quiet)
    const places: number[] = []
    const next = slots.take({ id: 3, appId: 7 }, never, (before) => places.push(before))
    impatient.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    await expect(slots.take({ id: 4, appId: 7 }, impatient.signal, quiet)).rejects.toThrow('enough')
    expect(places).toEqual([1, 0])
    release()
    expect(await settled(next)).toBe(true)
  })

  it('tell a long line only what is news', async () => {
    const slots = makeBuildSlots(1)
    let release = await slots.take({ id: 0, appId: 7 }, never, quiet)
    let told = 0
    const taken = Array.from({ length: 500 }, (_, n) =>
      slots.take({ id: n + 1, appId: 7 }, never, () => void (told += 1)),
    )
    for (const next of taken) {
      release()
      release = await next
    }
    expect(told).toBeLessThan(500 * 60)
  })
})
