import { expect, it } from '@jest/globals'
import type { Client } from '../../../src/cli/client.ts'
import { exits, Failure, Problem } from '../../../src/cli/failure.ts'
import { remove } from '../../../src/cli/remove.ts'
import type { Session } from '../../../src/cli/session.ts'

it('a removal is waited for over a restart of the server', async () => {
  const answers: (Failure | object)[] = [
    { state: 'active' },
    { waitsFor: [] },
    new Failure(exits.unreachable, 'nothing listens there'),
    new Problem('unavailable', 'The database does not answer.'),
    new Problem('not_found', 'There is no environment qa.'),
  ]
  const client = {
    call: () => {
      const next = answers.shift()
      return next instanceof Failure ? Promise.reject(next) : Promise.resolve(next)
    },
  } as unknown as Client
  const lines: string[] = []
  const out = { data: () => undefined, note: () => undefined, line: (text: string) => lines.push(text) }
  const session = { client: () => client, out } as unknown as Session
  await remove(
    session,
    { path: '/apps/shop/environments/qa', name: 'qa', title: 'qa of shop', goes: '' },
    { yes: true },
  )
  expect(lines).toEqual(['Removed qa of shop.'])
  expect(answers).toEqual([])
})
