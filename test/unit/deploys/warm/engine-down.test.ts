import { describe, expect, it } from '@jest/globals'
import {
  type Found,
  judgeEngine,
  type Look,
  type Earlier,
  nothingEarlier,
} from '../../../../src/deploys/warm/engine-down.ts'

const ran = (createdMs: number, startedMs = createdMs): Found => ({
  state: 'running',
  createdAt: new Date(createdMs),
  startedAt: new Date(startedMs),
})
const lies = (createdMs: number, startedMs = createdMs): Found => ({
  state: 'exited',
  createdAt: new Date(createdMs),
  startedAt: new Date(startedMs),
})

/** What is warm was made at 100, what serves at 1,000. */
const look = ({ serving = ran(1000), warm = [ran(100)], hasEnded = true, nowMs = 0 }): Look => ({
  serving: [{ id: 7, hasEnded, found: serving }],
  warm,
  nowMs,
})

describe('whether the engine was down', () => {
  it('is told by what is warm having been started since what serves was made', () => {
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), nothingEarlier).wasDown).toBe(true)
    expect(judgeEngine(look({ serving: ran(1000, 2000) }), nothingEarlier).wasDown).toBe(false)
    // Before it was made: that was another time.
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 999)] }), nothingEarlier).wasDown).toBe(false)
  })

  it('is not told by some of what is warm, nor where nothing is', () => {
    expect(judgeEngine(look({ warm: [ran(100, 2001), ran(100)] }), nothingEarlier).wasDown).toBe(false)
    expect(judgeEngine(look({ warm: [] }), nothingEarlier).wasDown).toBe(false)
    expect(judgeEngine(look({ warm: [null] }), nothingEarlier).wasDown).toBe(false)
  })

  it('is not told when what serves is gone', () => {
    const gone = { serving: [{ id: 7, hasEnded: true, found: null }], warm: [ran(100, 2001)], nowMs: 0 }
    expect(judgeEngine(gone, nothingEarlier).wasDown).toBe(false)
  })

  it('excuses once for each start of what is warm', () => {
    const down = look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] })
    const { seen } = judgeEngine(down, nothingEarlier)
    // It ended again, and by itself.
    const again = look({ serving: ran(1000, 3000), warm: [ran(100, 2001)] })
    expect(judgeEngine(again, seen).wasDown).toBe(false)
    const downAgain = look({ serving: ran(1000, 4000), warm: [ran(100, 4001)] })
    expect(judgeEngine(downAgain, seen).wasDown).toBe(true)
  })

  it('excuses an end that is told later of a run that still goes on', () => {
    const { seen } = judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), nothingEarlier)
    const later = judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), seen)
    expect(later).toEqual({ wasDown: true, seen })
    // Errors are no end: they are held against it.
    expect(judgeEngine(look({ hasEnded: false, serving: ran(1000, 2000), warm: [ran(100, 2001)] }), seen).wasDown).toBe(
      false,
    )
  })

  it('excuses several only when each goes on, and by the one that was made last', () => {
    const both = (second: Found, startedMs = 2000): Look => ({
      serving: [
        { id: 7, hasEnded: true, found: ran(1000, startedMs) },
        { id: 8, hasEnded: true, found: second },
      ],
      warm: [ran(100, 2001)],
      nowMs: 0,
    })
    const { wasDown, seen } = judgeEngine(both(ran(1500, 2000)), nothingEarlier)
    expect(wasDown).toBe(true)
    expect(judgeEngine(both(ran(1500, 2000)), seen).wasDown).toBe(true)
    expect(judgeEngine(both(ran(1500, 3000)), seen).wasDown).toBe(false)
    expect(judgeEngine(both(ran(1500, 2000), 3000), seen).wasDown).toBe(false)
    // One was made after what is warm was started.
    expect(judgeEngine(both(ran(2002)), nothingEarlier).wasDown).toBe(false)
  })

  it('excuses no end of one that does not run again', () => {
    const down = look({ serving: lies(1000, 2000), warm: [ran(100, 2001)], nowMs: 50_000 })
    const first = judgeEngine(down, { ...nothingEarlier, unsureSinceMs: 40_000 })
    expect(first.wasDown).toBe(true)
    expect(judgeEngine(down, first.seen).wasDown).toBe(false)
  })
})

describe('while the engine brings back one after the other', () => {
  const waits = (seen: Earlier, sinceMs: number): Earlier => ({ ...seen, unsureSinceMs: sinceMs })

  it('nobody can tell for as long as what is warm is not back, ten seconds at most', () => {
    const lying = (nowMs: number): Look => look({ serving: ran(1000, 2000), warm: [lies(100)], nowMs })
    expect(judgeEngine(lying(5_000), nothingEarlier)).toEqual({ wasDown: null, seen: waits(nothingEarlier, 5_000) })
    expect(judgeEngine(lying(14_999), waits(nothingEarlier, 5_000))).toEqual({
      wasDown: null,
      seen: waits(nothingEarlier, 5_000),
    })
    expect(judgeEngine(lying(15_000), waits(nothingEarlier, 5_000))).toEqual({ wasDown: false, seen: nothingEarlier })
  })

  it('nobody can tell either when what is warm is back and what serves is not', () => {
    const half = look({ serving: lies(1000), warm: [ran(100, 2001)], nowMs: 5_000 })
    expect(judgeEngine(half, nothingEarlier)).toEqual({ wasDown: null, seen: waits(nothingEarlier, 5_000) })
    const back = look({ serving: ran(1000, 2000), warm: [ran(100, 2001)], nowMs: 6_000 })
    expect(judgeEngine(back, waits(nothingEarlier, 5_000))).toEqual({
      wasDown: true,
      seen: { startedMs: new Map([[7, 2000]]), warmSinceMs: 2001, unsureSinceMs: null },
    })
  })

  it('what is warm and removed keeps nobody waiting', () => {
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [null] }), nothingEarlier).wasDown).toBe(false)
  })
})
