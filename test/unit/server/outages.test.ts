import { describe, expect, it } from '@jest/globals'
import type { Clock } from '../../../src/kernel/clock.ts'
import { keepOutages } from '../../../src/server/outages.ts'

/** What is recorded of a database that answers (`+`) or does not (`-`) at looks two seconds apart; `fails`: so many records fail first. */
async function play(looks: string, fails = 0): Promise<number[]> {
  const over = new AbortController()
  const seconds: number[] = []
  let nowMs = 0
  let at = 0
  let failing = fails
  const clock: Clock = {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    sleep(ms) {
      nowMs += ms
      if (at >= looks.length) over.abort()
      return Promise.resolve()
    },
  }
  const check = (): Promise<void> => (looks[at++] === '+' ? Promise.resolve() : Promise.reject(new Error('away')))
  const record = async (ms: number): Promise<void> => {
    failing -= 1
    if (failing >= 0) throw new Error('cannot be written')
    seconds.push(ms / 1000)
  }
  await keepOutages({ name: 'database', check }, { clock, record }, over.signal)
  return seconds
}

describe('an outage', () => {
  it.each([
    ['is none of what answers', '++++++++++', []],
    ['lasts from the last answer to the first one after', '++---+++++++++', [8]],
    ['is told when it has been over for ten seconds', '++---+++++', []],
    ['that comes and goes is one', '++-+++-++--++++++++', [20]],
    ['after another is its own', '+-++++++-++++++', [4, 4]],
    ['may be there from the start', '--++++++++', [4]],
    ['that is not over is not told', '++-------------', []],
  ])('%s', async (_, looks, told) => {
    expect(await play(looks)).toEqual(told)
  })

  it('that cannot be recorded is recorded when it can be', async () => {
    expect(await play('+--++++++++++', 3)).toEqual([6])
    expect(await play('+--++++++++++', 30)).toEqual([])
  })
})
