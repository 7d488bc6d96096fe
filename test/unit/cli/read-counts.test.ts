import { expect, it } from '@jest/globals'
import { readCounts } from '../../../src/cli/verbs/processes.ts'

it('counts are read as people write them; whether they may be is the server’s to say', () => {
  expect(readCounts(['web=3', 'worker=-1', 'mail_out=10,000', 'slow=default'])).toEqual({
    web: 3,
    worker: -1,
    mail_out: 10_000,
    slow: null,
  })
  for (const wrong of ['web', 'web=', '=3', 'web=three', 'web=1.5', 'web=3=4'])
    expect(() => readCounts([wrong])).toThrow('is not process=number')
  expect(() => readCounts(['web=1', 'web=2'])).toThrow('twice')
})
