import { expect, it } from '@jest/globals'
import { makeFailedAnswers } from '../../../src/logs/failed-answers.ts'

it('counts the errors of a set’s instances, and no others, from when somebody asks until nobody does', () => {
  const failed = makeFailedAnswers()
  const soon = new Date(Date.now() + 1_000)
  const line = { status: 500, at: soon, releaseSet: null, target: '10.0.0.1:80', isOwn: false }
  failed.add(line)
  const of = { releaseSet: 'd1', targets: ['10.0.0.1:80', '10.0.0.2:80'] }
  const [mine, other] = [failed.count(of), failed.count(of)]
  for (const status of [200, 404, 499, 500, 503, null]) failed.add({ ...line, status })
  failed.add({ ...line, target: '10.0.0.2:80' })
  failed.add({ ...line, target: null, releaseSet: 'd1' })
  expect(mine.read()).toBe(4)
  // Another release's, of one that sleeps, a page of the proxy's own, and what was asked before.
  failed.add({ ...line, target: '10.0.0.3:80' })
  failed.add({ ...line, target: null, releaseSet: 'd2' })
  failed.add({ ...line, target: null })
  failed.add({ ...line, target: null, releaseSet: 'd1', isOwn: true })
  failed.add({ ...line, at: new Date(Date.now() - 60_000) })
  expect(mine.read()).toBe(4)
  mine.end()
  failed.add(line)
  expect([mine.read(), other.read()]).toEqual([4, 5])
})
