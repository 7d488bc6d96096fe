import { describe, expect, it } from '@jest/globals'
import type { Exposure, Exposures } from '../../../../src/deploys/exposures.ts'
import { answerFor } from '../../../../src/deploys/wake/answer.ts'
import type { AskedRelease } from '../../../../src/deploys/wake/asked-release.ts'

const release: AskedRelease = {
  releaseId: 12,
  number: 3,
  app: 'shop',
  environment: 'test',
  environmentId: 7,
  label: 'test--shop',
  live: false,
  isActive: true,
  commit: 'c'.repeat(40),
  createdAt: new Date('2026-11-03T10:00:00Z'),
  isKept: true,
  wasLive: true,
}
const exposed = (releaseAddresses: Exposure['releaseAddresses'], passwords: string[] = []): Exposures =>
  new Map([
    [7, { environmentId: 7, access: { passwords, allowed: [], limits: null }, onlyReleases: false, releaseAddresses }],
  ])

describe('what is said for a release that does not run', () => {
  it.each<[string, Partial<AskedRelease>, Exposures, string]>([
    ['one whose image is there sleeps', {}, new Map(), 'asleep'],
    ['one whose image is not there is gone', { isKept: false }, new Map(), 'gone'],
    ['one that never went live is not known', { wasLive: false }, new Map(), 'unknown'],
    ['nor what is gone of it', { wasLive: false, isKept: false }, new Map(), 'unknown'],
    ['nor one of an environment that is stopped', { isActive: false }, new Map(), 'unknown'],
    ['nor one of live that nobody has protected', { live: true }, new Map(), 'unknown'],
    ['live is protected', { live: true }, exposed('protected', ['x']), 'asleep'],
    ['live is public', { live: true }, exposed('public'), 'asleep'],
    ['the app has switched them off', { live: true }, exposed('off', ['x']), 'unknown'],
    ['… gone or not', { live: true, isKept: false }, exposed('off', ['x']), 'unknown'],
  ])('%s', (_, change, exposures, expected) => {
    expect(answerFor({ ...release, ...change }, exposures).kind).toBe(expected)
  })

  it('nothing is known of one that never was', () => {
    expect(answerFor(null, new Map())).toEqual({ kind: 'unknown' })
  })
})
