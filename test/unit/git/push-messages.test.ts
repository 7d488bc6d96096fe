import { expect, it } from '@jest/globals'
import type { Environment } from '../../../src/environments/index.ts'
import type { AcceptedUpdate } from '../../../src/git/plan-push.ts'
import { tellArrived, tellTags } from '../../../src/git/push-messages.ts'

it.each([
  ['feature/a-1', '--branch feature/a-1 -a shop'],
  ['$(reboot)', "--branch '$(reboot)' -a shop"],
  ["it's;`id`", "--branch 'it'\\''s;`id`' -a shop"],
])('prints a command that can be copied whatever the branch is called: %s', (branch, words) => {
  const arrived = { branch, commit: 'a'.repeat(40), followers: [], deployTo: [], skipped: [], held: [], locked: [] }
  expect(tellArrived('shop', [arrived], false).join('\n')).toContain(words)
})

it('says that an environment is held, and how to deploy it and to let pushes deploy again', () => {
  const test = { name: 'test', app: 'shop', deployOnPush: true } as Environment
  const arrived = {
    branch: 'main',
    commit: 'a'.repeat(40),
    followers: [test],
    deployTo: [],
    skipped: [],
    held: [test],
    locked: [],
  }
  const lines = tellArrived('shop', [arrived], false).join('\n')
  expect(lines).toContain('test follows it, but is held: this push is not deployed there')
  expect(lines).toContain('slipway deploy test -a shop')
  expect(lines).toContain('slipway envs set test --no-hold -a shop')
  expect(lines).toContain('slipway: deploy=- environment=test release=- status=skipped')
})

it('says of tags that they deploy nothing, in one line; of one that goes nothing', () => {
  const tag = (ref: string, to = 'a'.repeat(40)): AcceptedUpdate => ({
    ...{ ref: Buffer.from(ref).toString('latin1'), old: '0'.repeat(40), new: to, kind: 'tag', branch: null },
  })
  expect(tellTags([tag('refs/tags/v1')])).toEqual(['-----> Kept the tag v1; tags deploy nothing, branches do'])
  expect(tellTags([tag('refs/tags/ü')])[0]).toContain('the tag ü;')
  expect(tellTags([tag('refs/tags/a'), tag('refs/tags/b')])).toEqual([
    '-----> Kept 2 tags; tags deploy nothing, branches do',
  ])
  expect(tellTags([tag('refs/tags/a', '0'.repeat(40))])).toEqual([])
})

it('says that an environment is locked: by whom, since when, why, and how to go on', () => {
  const lock = {
    reason: 'sale',
    by: 'anna',
    since: new Date('2026-11-21T10:00:00Z'),
    waits: false,
    allowsRollbacks: false,
  }
  const live = { name: 'live', app: 'shop', deployOnPush: true, lock } as Environment
  const arrived = {
    ...{ branch: 'main', commit: 'a'.repeat(40), followers: [live] },
    ...{ deployTo: [], skipped: [], held: [], locked: [live] },
  }
  const lines = tellArrived('shop', [arrived], false).join('\n')
  expect(lines).toContain(' !     live is locked by anna since 2026-11-21 10:00 UTC: “sale”')
  expect(lines).toContain('slipway unlock live -a shop')
  expect(lines).toContain('slipway deploy live --commit aaaaaaaaaa -a shop')
  expect(lines).toContain('slipway: deploy=- environment=live release=- status=skipped')
  // Nor is anybody told that it is not followed, or to deploy it now.
  expect(lines).not.toMatch(/no environment follows|deploy it with/)
})
