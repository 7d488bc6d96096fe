import { expect, it } from '@jest/globals'
import { makeAnswerCounts } from '../../../src/logs/answer-counts.ts'

it('counts the answers of an environment from when somebody asks until nobody does', () => {
  const counts = makeAnswerCounts()
  const soon = new Date(Date.now() + 1_000)
  const answer = (environmentId: number, status: number | null, at = soon): void =>
    counts.add({ environmentId, status, at })
  answer(1, 500)
  const [mine, other] = [counts.count(1), counts.count(1)]
  for (const status of [200, 404, 499, 500, 503, null]) answer(1, status)
  answer(2, 500)
  // It was asked before.
  answer(1, 500, new Date(Date.now() - 60_000))
  expect(mine.read()).toEqual({ total: 5, failed: 2 })
  mine.end()
  answer(1, 500)
  expect(mine.read()).toEqual({ total: 5, failed: 2 })
  expect(other.read()).toEqual({ total: 6, failed: 3 })
})
