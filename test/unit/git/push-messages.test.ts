import { expect, it } from '@jest/globals'
import { tellArrived } from '../../../src/git/push-messages.ts'

it.each([
  ['feature/a-1', '--branch feature/a-1 -a shop'],
  ['$(reboot)', "--branch '$(reboot)' -a shop"],
  ["it's;`id`", "--branch 'it'\\''s;`id`' -a shop"],
])('prints a command that can be copied whatever the branch is called: %s', (branch, words) => {
  const arrived = { branch, commit: 'a'.repeat(40), followers: [], deployTo: [], skipped: [] }
  expect(tellArrived('shop', [arrived], false).join('\n')).toContain(words)
})
