import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { describeEvent, kindsOf, sentences } from '../../../src/activity/describe.ts'

const src = join(import.meta.dirname, '../../../src')

/** The kinds that the code writes: in calls of `appendEvent`, and in what hands a kind on to one. */
function writtenKinds(): Set<string> {
  const kinds = new Set<string>()
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('activity/')) continue
    const text = readFileSync(join(src, file), 'utf8')
    if (!text.includes('appendEvent')) continue
    for (const [, kind = ''] of text.matchAll(
      /'((?:app|build|cron|deploy|environment|image|instance|process|protection|push|run|server|token|vars|variables)[a-z]*\.[a-z-]+)'/g,
    ))
      kinds.add(kind)
    for (const [, kind = ''] of text.matchAll(/kind: '([a-z]+[.-][a-z.-]+)'/g)) kinds.add(kind)
  }
  return kinds
}

describe('the sentence of an event', () => {
  it('is there for every kind that the code writes', () => {
    const written = writtenKinds()
    expect(written.size).toBeGreaterThan(8)
    expect([...written].filter((kind) => !(kind in sentences))).toEqual([])
    // Those of ends are put together: `deploy.${state}`.
    for (const state of ['live', 'failed', 'cancelled', 'superseded'])
      expect(sentences).toHaveProperty([`deploy.${state}`])
  })

  it('names what it is about', () => {
    const event = { environment: 'test', deployId: 7, kind: '', data: {} }
    const told = (kind: string, data: Record<string, unknown>): string => describeEvent({ ...event, kind, data })
    expect(told('deploy.queued', { kind: 'push', commit: 'c0ffee0000000001', branch: 'main' })).toBe(
      'asked for the deploy of c0ffee0000 (main) to test: deploy 7',
    )
    expect(
      told('deploy.queued', { kind: 'rollback', commit: 'c0', from: { release: 7, environment: 'test' }, holds: true }),
    ).toBe('asked for the rollback of test to v7, which holds pushes: deploy 7')
    expect(told('server.started', { version: '0.2.0', untold: false })).toBe('started, as 0.2.0')
    expect(told('server.started', { version: '0.2.0', untold: true })).toBe(
      'started, as 0.2.0, after it had ended without being told to',
    )
    expect(
      [3, 12, 300, 28_000].map((seconds) => told('server.proxy-back', { seconds }).replace('has its proxy back, ', '')),
    ).toEqual(['after 3 s', 'after 12 s', 'after 5 min', 'after 8 h'])
    expect(told('deploy.queued', { kind: 'promotion', from: { release: 3, environment: 'stage' } })).toBe(
      'asked for the promotion of stage v3 to test: deploy 7',
    )
    expect(told('deploy.live', { release: 12 })).toBe('deploy 7 is live: v12 serves')
    expect(told('instance.died', { release: 3, position: 1, exitCode: 137, outOfMemory: true })).toBe(
      'instance web.1 of v3 ended for lack of memory',
    )
    const change = {
      change: { branch: 'develop', deployOnPush: true, held: false },
      before: { branch: null, deployOnPush: false, held: false },
    }
    expect(told('environment.changed', change)).toBe('changed test: branch: none → develop, deployOnPush: false → true')
    expect(told('protection.changed', { limits: { requests: 50, visitorRate: null } })).toBe(
      'changed the limits of test: requests: 50, visitorRate: none',
    )
    const scaled = { change: { web: 3, worker: null }, before: { web: null, worker: 2 } }
    expect(told('environment.scaled', scaled)).toBe(
      'scaled test (from the next deploy on): web: default → 3, worker: 2 → default',
    )
    expect(told('environment.scaled', { ...scaled, now: true })).toMatch(/^scaled test: web/)
    expect(told('cron.failed', { label: 'report', failures: 3, message: 'It ended with exit code 2.' })).toBe(
      'the job report failed, 3 times in a row: It ended with exit code 2.',
    )
    expect(told('cron.missed', { label: 'report', count: 1, madeUp: true })).toBe(
      'missed 1 run of the job report while Slipway was away; the last one is made up for',
    )
    const updates = ['main', 'a', 'b', 'c'].map((name) => ({
      ref: `refs/heads/${name}`,
      old: '0',
      new: 'abcdef0123456',
    }))
    expect(
      told('push.received', { updates: [...updates.slice(0, 3), { ref: 'refs/heads/old', new: '0'.repeat(40) }] }),
    ).toBe('pushed main (abcdef0123), a (abcdef0123), b (abcdef0123) and 1 more')
  })

  it('can be asked for by its kind or what it is about, and by nothing else', () => {
    expect(kindsOf('deploy.failed')).toEqual(['deploy.failed'])
    expect(kindsOf('vars')).toEqual(['vars.changed', 'vars.revoked', 'vars.key-changed'])
    expect(kindsOf('instance')).toContain('instance.crash-loop')
    expect(() => kindsOf('nonsense')).toThrow(
      expect.objectContaining({
        code: 'bad_request',
        hint: expect.stringMatching(/^There are: app, .*push, deploy, .*;/),
      }),
    )
    expect(() => kindsOf('deploy.lost')).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/^Of deploy there are: .*deploy\.failed/) }),
    )
    expect(() => kindsOf('dep')).toThrow('“dep”')
  })

  it('is the kind itself for what nobody described, and never fails on odd data', () => {
    expect(describeEvent({ kind: 'some.thing', environment: null, deployId: null, data: {} })).toBe('some.thing')
    for (const kind of Object.keys(sentences))
      expect(typeof describeEvent({ kind, environment: null, deployId: null, data: { updates: 7, commit: {} } })).toBe(
        'string',
      )
  })
})
