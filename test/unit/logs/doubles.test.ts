import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { makeResume } from '../../../src/logs/doubles.ts'

const line = (second: number, text: string): string =>
  `2026-11-21T10:00:${String(second).padStart(2, '0')}.000000000Z web.1 3f2a9c1b4d5e o ${text}`

const nothing = (): Promise<readonly string[]> => Promise.reject(new Error('not needed'))

describe('after a restart', () => {
  it('everything is new when nothing is kept', async () => {
    const resume = makeResume([], nothing)
    expect(resume.since).toBeNull()
    expect(await resume.withoutDoubles([line(1, 'a'), line(1, 'a')])).toHaveLength(2)
  })

  it('the engine is asked from a second before the last line; what is kept is passed over, and only once', async () => {
    const kept = [line(1, 'a'), line(2, 'b'), line(2, 'c')]
    const resume = makeResume(kept, nothing)
    expect(resume.since).toBe('2026-11-21T10:00:01.000000000Z')
    expect(await resume.withoutDoubles([line(1, 'a'), line(2, 'b')])).toEqual([])
    expect(await resume.withoutDoubles([line(2, 'c'), line(2, 'b'), line(3, 'd')])).toEqual([
      line(2, 'b'),
      line(3, 'd'),
    ])
  })

  it('of a clock that was set back, older lines are looked up in all that is kept', async () => {
    const all = [line(30, 'before'), line(31, 'before'), line(2, 'after')]
    let asked = 0
    const resume = makeResume([line(2, 'after')], () => {
      asked += 1
      return Promise.resolve(all)
    })
    expect(await resume.withoutDoubles([...all, line(3, 'new')])).toEqual([line(3, 'new')])
    expect(asked).toBe(1)
  })

  it('whatever was kept when it ended: all lines are there once, in order', async () => {
    const stamps = fc.array(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(stamps, fc.nat(), fc.nat(), async (seconds, a, b) => {
        const printed = seconds.map((second, i) => line(second, `text ${i}`))
        const kept = printed.slice(0, a % (printed.length + 1))
        const tail = kept.slice(kept.length === 0 ? 0 : b % kept.length)
        const resume = makeResume(tail, () => Promise.resolve(kept))
        // What the engine tells: everything from that moment on, in its order.
        const told = printed.filter((one) => resume.since === null || one.slice(0, 30) >= resume.since)
        const lost = printed.slice(kept.length).filter((one) => !told.includes(one))
        const whole = [...kept, ...(await resume.withoutDoubles(told))]
        expect(whole).toEqual(printed.filter((one) => !lost.includes(one)))
        // Only a clock that was set back further than the last line can hide lines, and none of them is doubled.
        expect(new Set(whole).size).toBe(whole.length)
      }),
    )
  })
})
