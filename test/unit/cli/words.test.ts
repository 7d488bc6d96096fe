import { describe, expect, it } from '@jest/globals'
import { usageFailure } from '../../../src/cli/usage-failure.ts'
import { describeDeploy, rowOf } from '../../../src/cli/verbs/status.ts'

type Status = Parameters<typeof rowOf>[0]

const status = (fields: object): Status =>
  ({
    environment: {
      name: 'qa',
      url: 'http://qa--shop.localhost',
      state: 'active',
      held: false,
      lock: null,
      maintenance: null,
    },
    running: null,
    lastDeploy: null,
    undeployed: null,
    unapplied: [],
    messages: [],
    ...fields,
  }) as unknown as Status

describe('the table of environments', () => {
  it('tells a stopped environment from one that never ran', () => {
    const stopped = status({ environment: { name: 'qa', url: '', state: 'stopped' } })
    expect([rowOf(stopped)[4], rowOf(status({}))[4]]).toEqual(['stopped', '-'])
  })

  it('says what holds pushes, deploys and visitors back', () => {
    const environment = { name: 'qa', url: '', state: 'active', held: true, lock: {}, maintenance: {} }
    expect(rowOf(status({ environment }))[0]).toBe('qa (held, locked, maintenance)')
  })

  it('says that the followed branch is not there', () => {
    const running = { release: 'v1', commit: '348207ded9', since: null, health: 'up', instances: [] }
    const messages = [{ code: 'no-branch', text: '' }]
    expect(rowOf(status({ running, messages }))[6]).toBe('no branch')
    expect(rowOf(status({ running }))[6]).toBe('?')
  })
})

it('a deploy that took an image is told with where from: also one that nobody asked for', () => {
  const deploy = {
    ...{ id: 40, kind: 'rollback', environment: 'live', state: 'live', serves: true, release: 'v8' },
    ...{ from: { environment: 'live', release: 'v6' }, requestedBy: 'slipway', createdAt: '', finishedAt: '' },
  } as unknown as Parameters<typeof describeDeploy>[0]
  expect(describeDeploy(deploy)).toMatch(/^40 live \(v8\), rollback to v6, by slipway, /)
  expect(describeDeploy({ ...deploy, from: null })).toMatch(/^40 live \(v8\), by slipway, /)
})

describe('an unknown command', () => {
  const hint = (text: string, words = 'slipway'): string => usageFailure(text, words).hint

  it('that another platform has leads to ours, never to the one that is spelt alike', () => {
    expect(hint("error: unknown command 'destroy'\n(Did you mean deploy?)")).toMatch(/apps remove/)
    expect(hint("error: unknown command 'config:set'")).toMatch(/slipway vars/)
  })

  it('that this version does not have is not taken for another, and a shell is found', () => {
    expect(hint("error: unknown command 'tokens'\n(Did you mean open?)")).toMatch(/none of that yet/)
    expect(hint("error: unknown command 'ssh'")).toContain('slipway run ENV -- sh')
    expect(hint("error: unknown command 'maintenance:on'")).toContain('slipway maintenance')
  })

  it('below a verb leads to the verb that it is here', () => {
    expect(hint("error: unknown command 'releases:rollback'")).toContain('slipway rollback ENV')
    expect(hint("error: unknown command 'revert'\n(Did you mean restart?)")).toContain('slipway rollback ENV')
    expect(hint("error: unknown command 'rollback'", 'slipway releases')).toBe('slipway rollback ENV v12')
    expect(hint("error: unknown command 'live'", 'slipway maintenance')).toContain('slipway maintenance on ENV')
  })

  it('else leads to what is spelt alike, or to help', () => {
    expect(hint("error: unknown command 'depoly'\n(Did you mean deploy?)")).toBe('Did you mean deploy?')
    expect(hint("error: unknown command 'ps'", 'slipway apps')).toBe('See how: slipway apps --help')
  })
})

it('an unknown option of a command to be run leads to the two hyphens, and others’ options to ours', () => {
  expect(usageFailure("error: unknown option '-l'", 'slipway run').hint).toContain('slipway run [ENV] -- COMMAND')
  expect(usageFailure("error: unknown option '-a'", 'slipway').hint).toMatch(/^Options stand behind the verb/)
  expect(usageFailure("error: unknown option '--tail'", 'slipway logs').hint).toBe('To go on with what comes: -f')
  expect(usageFailure("error: unknown option '--dry-run'", 'slipway rollback').hint).toContain('--plan')
  expect(usageFailure("error: unknown option '-m'", 'slipway lock').hint).toContain('--reason TEXT')
  expect(usageFailure("error: unknown option '-l'", 'slipway logs').hint).toBe('See how: slipway logs --help')
})
