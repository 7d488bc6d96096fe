import { describe, expect, it } from '@jest/globals'
import { type Found, judgeEngine, type Look, type Memory, noMemory } from '../../../../src/deploys/warm/engine-down.ts'

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
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), noMemory).wasDown).toBe(true)
    expect(judgeEngine(look({ serving: ran(1000, 2000) }), noMemory).wasDown).toBe(false)
    // Before it was made: that was another time.
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 999)] }), noMemory).wasDown).toBe(false)
  })

  it('is not told by some of what is warm, nor where nothing is', () => {
    expect(judgeEngine(look({ warm: [ran(100, 2001), ran(100)] }), noMemory).wasDown).toBe(false)
    expect(judgeEngine(look({ warm: [] }), noMemory).wasDown).toBe(false)
    expect(judgeEngine(look({ warm: [null] }), noMemory).wasDown).toBe(false)
  })

  it('is not told when what serves is gone', () => {
    const gone = { serving: [{ id: 7, hasEnded: true, found: null }], warm: [ran(100, 2001)], nowMs: 0 }
    expect(judgeEngine(gone, noMemory).wasDown).toBe(false)
  })

  it('excuses once for each start of what is warm', () => {
    const down = look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] })
    const { memory } = judgeEngine(down, noMemory)
    // It ended again, and by itself.
    const again = look({ serving: ran(1000, 3000), warm: [ran(100, 2001)] })
    expect(judgeEngine(again, memory).wasDown).toBe(false)
    const downAgain = look({ serving: ran(1000, 4000), warm: [ran(100, 4001)] })
    expect(judgeEngine(downAgain, memory).wasDown).toBe(true)
  })

  it('excuses an end that is told later of a run that still goes on', () => {
    const { memory } = judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), noMemory)
    const later = judgeEngine(look({ serving: ran(1000, 2000), warm: [ran(100, 2001)] }), memory)
    expect(later).toEqual({ wasDown: true, memory })
    // Errors are no end: they are held against it.
    expect(
      judgeEngine(look({ hasEnded: false, serving: ran(1000, 2000), warm: [ran(100, 2001)] }), memory).wasDown,
    ).toBe(false)
  })

  it('excuses no end of one that does not run again', () => {
    const down = look({ serving: lies(1000, 2000), warm: [ran(100, 2001)], nowMs: 50_000 })
    const first = judgeEngine(down, { ...noMemory, unsureSinceMs: 40_000 })
    expect(first.wasDown).toBe(true)
    expect(judgeEngine(down, first.memory).wasDown).toBe(false)
  })
})

describe('while the engine brings back one after the other', () => {
  const waits = (memory: Memory, sinceMs: number): Memory => ({ ...memory, unsureSinceMs: sinceMs })

  it('nobody can tell for as long as what is warm is not back, ten seconds at most', () => {
    const lying = (nowMs: number): Look => look({ serving: ran(1000, 2000), warm: [lies(100)], nowMs })
    expect(judgeEngine(lying(5_000), noMemory)).toEqual({ wasDown: null, memory: waits(noMemory, 5_000) })
    expect(judgeEngine(lying(14_999), waits(noMemory, 5_000))).toEqual({
      wasDown: null,
      memory: waits(noMemory, 5_000),
    })
    expect(judgeEngine(lying(15_000), waits(noMemory, 5_000))).toEqual({ wasDown: false, memory: noMemory })
  })

  it('nobody can tell either when what is warm is back and what serves is not', () => {
    const half = look({ serving: lies(1000), warm: [ran(100, 2001)], nowMs: 5_000 })
    expect(judgeEngine(half, noMemory)).toEqual({ wasDown: null, memory: waits(noMemory, 5_000) })
    const back = look({ serving: ran(1000, 2000), warm: [ran(100, 2001)], nowMs: 6_000 })
    expect(judgeEngine(back, waits(noMemory, 5_000))).toEqual({
      wasDown: true,
      memory: { startedMs: new Map([[7, 2000]]), warmSinceMs: 2001, unsureSinceMs: null },
    })
  })

  it('what is warm and removed keeps nobody waiting', () => {
    expect(judgeEngine(look({ serving: ran(1000, 2000), warm: [null] }), noMemory).wasDown).toBe(false)
  })
})
