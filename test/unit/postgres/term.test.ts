import { describe, expect, it } from '@jest/globals'
import { makeTerm } from '../../../src/postgres/term.ts'

/** The session's time, and its answers: each is given when the test says so. */
function makeSession() {
  const session = { nowMs: 10_000, asked: 0, answers: [] as PromiseWithResolvers<void>[] }
  const term = makeTerm({
    confirm() {
      session.asked += 1
      const answer = Promise.withResolvers<void>()
      session.answers.push(answer)
      return answer.promise
    },
    nowMs: () => session.nowMs,
    sleep: async (ms) => void (session.nowMs += ms),
  })
  return { session, term }
}

describe('the place of the server', () => {
  it('is asked for once for all who want to know at the same time, and not again within a second', async () => {
    const { session, term } = makeSession()
    const all = [term(), term(), term()]
    await Promise.resolve()
    session.answers[0]?.resolve()
    await Promise.all(all)
    session.nowMs += 999
    await term()
    expect(session.asked).toBe(1)
    session.nowMs += 1
    const next = term()
    await Promise.resolve()
    session.answers[1]?.resolve()
    await next
    expect(session.asked).toBe(2)
  })

  it('is asked for once more when the answer is old by the time at which it comes', async () => {
    const { session, term } = makeSession()
    const all = [term(), term()]
    await Promise.resolve()
    session.nowMs += 1_000
    session.answers[0]?.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    expect(session.asked).toBe(2)
    session.answers[1]?.resolve()
    await Promise.all(all)
  })

  it('is lost for all who asked when the session is gone, and asked for again by the next', async () => {
    const { session, term } = makeSession()
    const all = Promise.allSettled([term(), term()])
    await Promise.resolve()
    session.answers[0]?.reject(new Error('gone'))
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    const next = term()
    await Promise.resolve()
    session.answers[1]?.resolve()
    await next
    expect(session.asked).toBe(2)
  })
})
