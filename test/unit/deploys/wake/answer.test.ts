import { describe, expect, it } from '@jest/globals'
import type { Exposure, Exposures } from '../../../../src/deploys/exposures.ts'
import { decideAnswer, lastUsedMs, type Use } from '../../../../src/deploys/wake/answer.ts'
import type { AskedRelease } from '../../../../src/deploys/wake/asked-store.ts'

const release: AskedRelease = {
  releaseId: 12,
  number: 3,
  appId: 1,
  app: 'shop',
  environment: 'test',
  environmentId: 7,
  label: 'test--shop',
  live: false,
  isActive: true,
  commit: 'c'.repeat(40),
  createdAt: new Date('2026-11-03T10:00:00Z'),
  buildId: 4,
  isKept: true,
  holdsRevoked: false,
  wasLive: true,
  madeBy: 5,
  rebuiltAs: null,
  revokedAt: null,
  instance: null,
  drainLeftMs: 0,
}
const exposed = (releaseAddresses: Exposure['releaseAddresses'], passwords: string[] = []): Exposures =>
  new Map([
    [7, { environmentId: 7, rules: { passwords, allowed: [], limits: null }, onlyReleases: false, releaseAddresses }],
  ])

describe('what is said for a release that does not run', () => {
  it.each<[string, Partial<AskedRelease>, Exposures, string]>([
    ['one whose image is there is woken', {}, new Map(), 'wake'],
    ['one whose image is not there is gone', { isKept: false }, new Map(), 'gone'],
    ['one that was built with a value that was revoked is not', { holdsRevoked: true }, new Map(), 'revoked'],
    ['… gone', { holdsRevoked: true, isKept: false }, new Map(), 'gone'],
    ['one that never went live is not known', { wasLive: false }, new Map(), 'unknown'],
    ['nor what is gone of it', { wasLive: false, isKept: false }, new Map(), 'unknown'],
    ['nor one of an environment that is stopped', { isActive: false }, new Map(), 'unknown'],
    ['nor one of live that nobody has protected', { live: true }, new Map(), 'unknown'],
    ['live is protected', { live: true }, exposed('protected', ['x']), 'wake'],
    ['live is public', { live: true }, exposed('public'), 'wake'],
    ['the app has switched them off', { live: true }, exposed('off', ['x']), 'unknown'],
    ['… gone or not', { live: true, isKept: false }, exposed('off', ['x']), 'unknown'],
  ])('%s', (_, change, exposures, expected) => {
    expect(decideAnswer({ ...release, ...change }, exposures)).toBe(expected)
  })
  it.each([
    ['starting', 'starting'],
    ['serving', 'starting'],
    ['waking', 'starting'],
    ['awake', 'starting'],
    ['draining', 'ending'],
  ] as const)('one that has an instance (%s) is asked for again, and not started a second time', (instance, said) => {
    expect(decideAnswer({ ...release, instance }, new Map())).toBe(said)
    expect(decideAnswer({ ...release, instance, isKept: false }, new Map())).toBe(said)
  })
})

describe('when an instance was last used', () => {
  it.each<[string, Use, number]>([
    ['now, while a request or a websocket is open', { open: 1, quietMs: 900 }, 1000],
    ['now, as long as nobody knows', { open: null, quietMs: null }, 1000],
    ['when its last request ended', { open: 0, quietMs: 300 }, 700],
    ['when it was seen used before: of what came before it the proxy may still know', { open: 0, quietMs: 900 }, 400],
    ['then, too, when none ever came', { open: 0, quietMs: null }, 400],
  ])('%s', (_, use, expected) => {
    expect(lastUsedMs(use, { seenMs: 400, nowMs: 1000 })).toBe(expected)
  })
})
