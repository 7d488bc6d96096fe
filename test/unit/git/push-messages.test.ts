import { expect, it } from '@jest/globals'
import type { Environment } from '../../../src/environments/index.ts'
import { tellArrived } from '../../../src/git/push-messages.ts'

it.each([
  ['feature/a-1', '--branch feature/a-1 -a shop'],
  ['$(reboot)', "--branch '$(reboot)' -a shop"],
  ["it's;`id`", "--branch 'it'\\''s;`id`' -a shop"],
])('prints a command that can be copied whatever the branch is called: %s', (branch, words) => {
  const arrived = { branch, commit: 'a'.repeat(40), followers: [], deployTo: [], skipped: [], held: [] }
  expect(tellArrived('shop', [arrived], false).join('\n')).toContain(words)
})

it('says that an environment is held, and how to deploy it and to let pushes deploy again', () => {
  const test = { name: 'test', app: 'shop', deployOnPush: true } as Environment
  const arrived = { branch: 'main', commit: 'a'.repeat(40), followers: [test], deployTo: [], skipped: [], held: [test] }
  const lines = tellArrived('shop', [arrived], false).join('\n')
  expect(lines).toContain('test follows it, but is held: this push is not deployed there')
  expect(lines).toContain('slipway deploy test -a shop')
  expect(lines).toContain('slipway envs set test --no-hold -a shop')
  expect(lines).toContain('slipway: deploy=- environment=test release=- status=skipped')
})
