import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { listUnapplied, type StatusFacts, summarize } from '../../../src/status/status.ts'

const at = new Date('2026-11-21T10:00:00.500Z')
const live = { commit: 'a', branch: 'main', instances: 1, down: 0, isCrashLoop: false, revokedAt: null }
const facts: StatusFacts = {
  wanted: 'active',
  lock: null,
  isMaintained: false,
  live,
  lastDeploy: { state: 'live', finishedAt: at, commandsRan: false },
  deploying: null,
  draining: 0,
  drainsItself: false,
  warm: null,
  branch: 'main',
  head: 'a',
  commits: null,
  unapplied: [],
}
const textsOf = (changed: Partial<StatusFacts>): string[] =>
  summarize({ ...facts, ...changed }).messages.map(({ text }) => text)

describe('what is said of an environment', () => {
  it('is how far its deploys and commits are', () => {
    expect(textsOf({ live: null, lastDeploy: null })).toEqual(['Not deployed yet'])
    expect(textsOf({})).toEqual(['Last deployment succeeded at 2026-11-21T10:00:00Z', 'All commits deployed'])
    const failed = { state: 'failed', finishedAt: at, commandsRan: false } as const
    expect(textsOf({ lastDeploy: failed })[0]).toBe('Last deployment failed at 2026-11-21T10:00:00Z')
    const ahead = { head: 'b', commits: { undeployed: 3, leftOut: 0 } }
    expect(textsOf(ahead).at(-1)).toBe('3 undeployed commits')
    expect(textsOf({ ...ahead, commits: { undeployed: 1, leftOut: 0 } }).at(-1)).toBe('1 undeployed commit')
    const unapplied = [{ what: 'variables', names: ['A'] }] as const
    expect(textsOf({ ...ahead, unapplied }).at(-1)).toBe('3 undeployed commits and unapplied changes')
    expect(textsOf({ unapplied }).slice(1)).toEqual(['All commits deployed', 'Unapplied changes'])
  })

  it('tells of a revoked value that it was started with, before all but a crash', () => {
    const told = summarize({ ...facts, live: { ...live, revokedAt: at } })
    expect(told.messages[0]).toEqual({
      code: 'revoked',
      text: expect.stringMatching(/^Still runs with a value that was revoked at 2026-11-21T10:00:00Z: restart it/),
    })
    const crashed = summarize({ ...facts, live: { ...live, down: 1, revokedAt: at } })
    expect(crashed.messages.map(({ code }) => code).slice(0, 2)).toEqual(['crashed', 'revoked'])
    expect(summarize(facts).messages.map(({ code }) => code)).not.toContain('revoked')
  })

  it('tells of release commands that ran although nothing was swapped', () => {
    const ran = { state: 'failed', finishedAt: at, commandsRan: true } as const
    expect(textsOf({ lastDeploy: ran })[1]).toMatch(/^Migrations ran, not swapped/)
  })

  it('never says that all is deployed while nobody has counted', () => {
    expect(textsOf({ head: 'b', commits: null })).toEqual(['Last deployment succeeded at 2026-11-21T10:00:00Z'])
    expect(summarize({ ...facts, head: 'b' }).undeployed).toBeNull()
  })

  it('knows forced pushes, deleted branches and empty repositories', () => {
    expect(textsOf({ head: 'b', commits: { undeployed: 2, leftOut: 1 } }).slice(1)).toEqual([
      '2 undeployed commits',
      'main does not hold what is live: 1 deployed commit not in it',
    ])
    // The branch went back behind what is live.
    expect(textsOf({ head: 'b', commits: { undeployed: 0, leftOut: 4 } }).slice(1)).toEqual([
      'main does not hold what is live: 4 deployed commits not in it',
    ])
    expect(textsOf({ head: null }).at(-1)).toBe('There is no branch main (yet)')
    expect(textsOf({ live: null, lastDeploy: null, head: null, branch: null })).toEqual([
      'Not deployed yet',
      'No branch yet: nothing was pushed',
    ])
  })

  it('says stopped, crashed, deploying and draining', () => {
    expect(summarize({ ...facts, wanted: 'stopped' })).toMatchObject({ state: 'stopped' })
    const crashed = { ...live, instances: 3, down: 3, isCrashLoop: true }
    expect(summarize({ ...facts, live: crashed }).state).toBe('crashed')
    expect(textsOf({ live: crashed })[0]).toBe('Ends again and again: 3 of 3 instances down')
    expect(summarize({ ...facts, live: { ...live, instances: 3, down: 1 } }).state).toBe('partly')
    expect(textsOf({ deploying: { id: 7, step: 'build', since: at }, draining: 1 })).toEqual([
      'Deploying: deploy 7 (build) since 2026-11-21T10:00:00Z',
      'Last deployment succeeded at 2026-11-21T10:00:00Z',
      'All commits deployed',
      '1 earlier release still finishes what came before the swap',
    ])
    expect(textsOf({ drainsItself: true }).at(-1)).toBe(
      'Earlier instances of this release still finish what came before the swap',
    )
    expect(textsOf({ draining: 2, drainsItself: true }).at(-1)).toBe(
      '2 earlier releases and earlier instances of this release still finish what came before the swap',
    )
    expect(textsOf({ warm: { release: 3, until: at } }).at(-1)).toBe(
      'v3 is kept warm until 2026-11-21T10:00:00Z: going back to it starts nothing',
    )
  })
})

describe('what was changed and is not applied', () => {
  it('is another branch than the live release’s, variables, and processes', () => {
    expect(listUnapplied({ live, branch: 'develop' }, { variables: ['A', 'B'], processes: ['web'] })).toEqual([
      { what: 'branch', names: ['main', 'develop'] },
      { what: 'variables', names: ['A', 'B'] },
      { what: 'processes', names: ['web'] },
    ])
    expect(
      listUnapplied({ live: { ...live, branch: null }, branch: 'develop' }, { variables: [], processes: [] }),
    ).toEqual([])
    expect(listUnapplied({ live: null, branch: 'develop' }, { variables: ['A'], processes: ['web'] })).toEqual([])
  })
})

describe('over random histories', () => {
  const happening = fc.oneof(
    fc.record({ do: fc.constant('commit' as const) }),
    fc.record({ do: fc.constant('deploy' as const) }),
    fc.record({ do: fc.constant('fail' as const) }),
    fc.record({ do: fc.constant('throw-back' as const), to: fc.nat(10) }),
    fc.record({ do: fc.constant('delete' as const) }),
  )

  it('says “all deployed” exactly when the branch holds nothing else, and the number of those that are missing', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 30 }), (history) => {
        let branch: string[] = []
        let next = 0
        let deployed: string[] | null = null
        let last: StatusFacts['lastDeploy'] = null
        for (const step of history) {
          if (step.do === 'commit') branch.push(`c${(next += 1)}`)
          if (step.do === 'throw-back') branch = branch.slice(0, step.to)
          if (step.do === 'delete') branch = []
          if (step.do === 'fail') last = { state: 'failed', finishedAt: at, commandsRan: false }
          if (step.do === 'deploy' && branch.length > 0) {
            deployed = [...branch]
            last = { state: 'live', finishedAt: at, commandsRan: false }
          }
          const there = new Set(deployed)
          const missing = branch.filter((commit) => !there.has(commit)).length
          const gone = [...there].filter((commit) => !branch.includes(commit)).length
          const said = summarize({
            ...facts,
            live: deployed === null ? null : { ...live, commit: deployed.at(-1) ?? '' },
            lastDeploy: last,
            head: branch.at(-1) ?? null,
            commits: deployed === null ? null : { undeployed: missing, leftOut: gone },
          })
          const codes = said.messages.map(({ code }) => code)
          const compares = deployed !== null && branch.length > 0
          expect(codes.includes('not-deployed')).toBe(deployed === null)
          expect(codes.includes('no-branch')).toBe(branch.length === 0)
          expect(codes.includes('all-deployed')).toBe(compares && missing === 0 && gone === 0)
          expect(codes.includes('undeployed')).toBe(compares && missing > 0)
          expect(codes.includes('rewritten')).toBe(compares && gone > 0)
          if (compares) expect(said.undeployed).toBe(missing)
          expect(new Set(codes).size).toBe(codes.length)
        }
      }),
    )
  })
})
