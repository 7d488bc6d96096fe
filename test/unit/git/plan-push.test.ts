import { describe, expect, it } from '@jest/globals'
import type { Environment } from '../../../src/environments/index.ts'
import { planDeploys, planPush, updatesToCompare } from '../../../src/git/plan-push.ts'
import { parsePushOptions } from '../../../src/git/push-options.ts'
import type { PushRequest, RefUpdate } from '../../../src/git/push-request.ts'
import { zeroId } from '../../../src/git/repositories.ts'

const a = 'a'.repeat(40)
const b = 'b'.repeat(40)
const none = parsePushOptions([])

const environment = (name: string, change: Partial<Environment> = {}): Environment => ({
  id: name.length,
  appId: 1,
  app: 'shop',
  name,
  label: name,
  live: name === 'live',
  branch: null,
  followedBranch: 'main',
  deployOnPush: name !== 'live',
  allowForcedPush: name !== 'live',
  supersede: 'waiting',
  held: false,
  lock: null,
  maintenance: null,
  state: 'active',
  protection: { users: 0, ranges: 0, onlyReleases: false },
  version: 1,
  ...change,
})
const environments = [environment('test'), environment('live')]
const names = ['test', 'live']
const facts = { app: 'shop', environments, names, forced: new Set<string>(), leased: new Map<string, string>() }

const request = (updates: readonly RefUpdate[], atomic = false): PushRequest => ({ updates, options: [], atomic })
const update = (ref: string, old = a, to = b): RefUpdate => ({ ref, old, new: to })

describe('what a push may do', () => {
  it('takes what is right and refuses what is not, ref by ref', () => {
    const plan = planPush(request([update('refs/heads/dev'), update('refs/changes/1')]), none, facts)
    expect(plan.accepted).toEqual([{ ...update('refs/heads/dev'), kind: 'branch', branch: 'dev' }])
    expect(plan.refused).toMatchObject([{ ref: 'refs/changes/1' }])
  })

  it('takes nothing of an atomic push with one wrong ref', () => {
    const plan = planPush(request([update('refs/heads/dev'), update('refs/changes/1')], true), none, facts)
    expect(plan.accepted).toEqual([])
    expect(plan.refused.map(({ ref }) => ref).sort()).toEqual(['refs/changes/1', 'refs/heads/dev'])
  })

  it('takes nothing of a strict push with one wrong ref', () => {
    const strict = parsePushOptions(['strict'])
    const plan = planPush(request([update('refs/heads/dev'), update('refs/changes/1')]), strict, facts)
    expect(plan.accepted).toEqual([])
    expect(plan.refused).toContainEqual({ ref: 'refs/heads/dev', refused: 'a strict push moves all or nothing' })
  })

  it('refuses what a strict push holds, and takes the others', () => {
    const leased = new Map([['refs/heads/dev', 'wait']])
    const plan = planPush(request([update('refs/heads/dev'), update('refs/heads/x')]), none, { ...facts, leased })
    expect(plan.refused).toEqual([{ ref: 'refs/heads/dev', refused: 'wait' }])
    expect(plan.accepted).toMatchObject([{ ref: 'refs/heads/x' }])
  })

  it('refuses to delete what is not there', () => {
    const plan = planPush(request([update('refs/heads/dev', zeroId, zeroId)]), none, facts)
    expect(plan.refused[0]?.refused).toBe('there is no such branch or tag to delete')
    expect(plan.accepted).toEqual([])
  })

  it('compares only updates of what an environment guards', () => {
    const all = [
      update('refs/heads/main'),
      update('refs/heads/dev'),
      update('refs/heads/main', zeroId),
      update('refs/tags/main'),
    ]
    expect(updatesToCompare(request(all), environments)).toEqual([update('refs/heads/main')])
    const open = [environment('live', { allowForcedPush: true })]
    expect(updatesToCompare(request(all), open)).toEqual([])
  })

  it.each([
    ['a forced push', update('refs/heads/main'), new Set(['refs/heads/main'])],
    ['deleting', update('refs/heads/main', a, zeroId), new Set<string>()],
  ])('guards what live, or an environment with that setting, follows from %s', (_, wrong, forced) => {
    const plan = planPush(request([wrong]), none, { ...facts, forced })
    expect(plan.refused[0]?.refused).toContain('slipway envs set live --allow-forced-push -a shop')
    const open = [environment('live', { allowForcedPush: true })]
    expect(planPush(request([wrong]), none, { ...facts, environments: open, forced }).accepted).toHaveLength(1)
    const test = [environment('test', { allowForcedPush: false })]
    const guarded = planPush(request([wrong]), none, { ...facts, environments: test, forced })
    expect(guarded.refused[0]?.refused).toContain('slipway envs set test --allow-forced-push -a shop')
    const elsewhere = [environment('live', { followedBranch: 'other' })]
    expect(planPush(request([wrong]), none, { ...facts, environments: elsewhere, forced }).accepted).toHaveLength(1)
  })

  it('wants one branch and a known environment for env=', () => {
    const one = request([update('refs/heads/dev'), update('refs/tags/v1')])
    expect(planPush(one, parsePushOptions(['env=live']), facts).accepted).toHaveLength(2)
    const unknown = { code: 'not_found', hint: 'To add it: slipway envs add other -a shop' }
    expect(() => planPush(one, parsePushOptions(['env=other']), facts)).toThrow(expect.objectContaining(unknown))
    expect(() => planPush(one, parsePushOptions(['env=other']), { ...facts, environments: [] })).toThrow(
      expect.objectContaining({ hint: 'It gets these with its first push.' }),
    )
    const notOne = expect.objectContaining({ code: 'bad_request' })
    const two = request([update('refs/heads/dev'), update('refs/heads/x')])
    expect(() => planPush(two, parsePushOptions(['env=live']), facts)).toThrow(notOne)
    const deleted = request([update('refs/heads/dev', a, zeroId)])
    expect(() => planPush(deleted, parsePushOptions(['env=live']), facts)).toThrow(notOne)
    const forced = { ...facts, forced: new Set(['refs/heads/main']) }
    const [why] = planPush(request([update('refs/heads/main')]), parsePushOptions(['env=live']), forced).refused
    expect(why?.refused).toContain('takes no forced push')
  })
})

describe('what follows from a push', () => {
  const moved = (branch: string, to = b) => ({
    ...update(`refs/heads/${branch}`, a, to),
    kind: 'branch' as const,
    branch,
  })
  const to = (options: string[], branch = 'main', envs = environments) =>
    planDeploys([moved(branch)], parsePushOptions(options), envs).map(({ deployTo, skipped }) => ({
      deployTo: deployTo.map((e) => e.name),
      skipped: skipped.map((e) => e.name),
    }))

  it.each([
    [[], 'main', { deployTo: ['test'], skipped: [] }],
    [[], 'dev', { deployTo: [], skipped: [] }],
    [['skip-deploy'], 'main', { deployTo: [], skipped: ['test'] }],
    [['env=live'], 'dev', { deployTo: ['live'], skipped: [] }],
    [['env=live'], 'main', { deployTo: ['live'], skipped: [] }],
    [['env=live', 'env=test'], 'dev', { deployTo: ['test', 'live'], skipped: [] }],
  ])('with %j on %s', (options, branch, expected) => {
    expect(to(options, branch)).toEqual([expected])
  })

  it('nothing where pushes are held, unless it is asked for by name; and nothing in what is being removed', () => {
    const held = [environment('test', { held: true }), environment('live'), environment('qa', { state: 'removing' })]
    const planned = (options: string[]) => planDeploys([moved('main')], parsePushOptions(options), held)[0]
    expect(planned([])).toMatchObject({ deployTo: [], skipped: [], held: [{ name: 'test' }] })
    expect(planned(['skip-deploy'])).toMatchObject({ deployTo: [], skipped: [], held: [{ name: 'test' }] })
    expect(planned(['env=test', 'env=qa'])).toMatchObject({ deployTo: [{ name: 'test' }], held: [] })
    expect(planned([])?.followers.map((e) => e.name)).toEqual(['test', 'live'])
  })

  it('nothing where a lock refuses it, also asked for by name; where deploys wait for the unlock it waits', () => {
    const lock = { reason: 'sale', by: 'anna', since: new Date(0), waits: false, allowsRollbacks: true }
    const planned = (options: string[], waits = false) => {
      const there = [environment('test', { lock: { ...lock, waits } }), environment('live')]
      const [branch] = planDeploys([moved('main')], parsePushOptions(options), there)
      return { deployTo: branch?.deployTo.map((e) => e.name), locked: branch?.locked.map((e) => e.name) }
    }
    expect(planned([])).toEqual({ deployTo: [], locked: ['test'] })
    expect(planned(['env=test', 'env=live'])).toEqual({ deployTo: ['live'], locked: ['test'] })
    expect(planned(['skip-deploy'])).toEqual({ deployTo: [], locked: [] })
    expect(planned([], true)).toEqual({ deployTo: ['test'], locked: [] })
    // It is refused as a whole when its deploys are asked for.
    expect(planned(['strict'])).toEqual({ deployTo: ['test'], locked: [] })
  })

  it('nothing, from tags and from deletions', () => {
    const tag = { ...update('refs/tags/v1'), kind: 'tag' as const, branch: null }
    expect(planDeploys([tag, moved('main', zeroId)], none, environments)).toEqual([])
  })
})
