import { describe, expect, it } from '@jest/globals'
import { makeSlots } from '../../../src/kernel/slots.ts'

const never = new AbortController().signal
const settled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))])

describe('slots', () => {
  it('are given in the order of asking', async () => {
    const slots = makeSlots(1)
    const release = await slots.take(never)
    const second = slots.take(never)
    const third = slots.take(never)
    expect(await settled(second)).toBe(false)
    release()
    const releaseSecond = await second
    expect(await settled(third)).toBe(false)
    releaseSecond()
    await third
  })

  it('given back twice count once', async () => {
    const slots = makeSlots(1)
    const release = await slots.take(never)
    release()
    release()
    await slots.take(never)
    expect(await settled(slots.take(never))).toBe(false)
  })

  it('who gives up while waiting leaves the line and takes nothing', async () => {
    const slots = makeSlots(1)
    const release = await slots.take(never)
    const impatient = new AbortController()
    const given = slots.take(impatient.signal)
    const next = slots.take(never)
    impatient.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    await expect(slots.take(impatient.signal)).rejects.toThrow('enough')
    release()
    expect(await settled(next)).toBe(true)
  })
})
