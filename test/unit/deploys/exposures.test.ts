import { describe, expect, it } from '@jest/globals'
import { type Exposure, hostEntriesOf } from '../../../src/deploys/exposures.ts'
import { compareRoutes } from '../../../src/deploys/level/compare-routes.ts'
import type { Rules } from '../../../src/routing/index.ts'

type Change = Partial<Omit<Exposure, 'rules'>> & { rules?: Partial<Rules> }

const password = { passwords: ['A'.repeat(64)] }
const address = { allowed: ['4CB0071'] }
const limits = { limits: { requests: 5, visitorRate: null, visitorRequests: null } }

/** What the hosts of environment 7 and of its release 12 lead to. */
function entries(live: boolean, { rules, ...change }: Change = {}): [string, string | null] {
  const exposure: Exposure = {
    environmentId: 7,
    rules: { passwords: [], allowed: [], limits: null, ...rules },
    onlyReleases: false,
    releaseAddresses: 'protected',
    ...change,
  }
  const { environment, releases } = hostEntriesOf({ environmentId: 7, live, releaseId: 12 }, new Map([[7, exposure]]))
  if (releases !== null) expect(releases.others).toBe(releases.running.replace('r12', 'w7'))
  return [environment, releases?.running ?? null]
}

describe('what the hosts of an environment lead to', () => {
  it.each<[string, Change, [string, string | null]]>([
    ['nothing is set', {}, ['e7', 'r12']],
    ['it has a password', { rules: password }, ['e7/p/7', 'r12/p/7']],
    ['only addresses may come', { rules: address }, ['e7/a/7', 'r12/a/7']],
    ['both', { rules: { ...password, ...address, ...limits } }, ['e7/pal/7', 'r12/pal/7']],
    ['it is limited', { rules: limits }, ['e7/l/7', 'r12/l/7']],
    ['only its releases have a password', { rules: password, onlyReleases: true }, ['e7', 'r12/p/7']],
    ['the app shows live releases to all', { rules: password, releaseAddresses: 'public' }, ['e7/p/7', 'r12/p/7']],
    ['the app hides live releases', { releaseAddresses: 'off' }, ['e7', 'r12']],
  ])('that is not live, when %s', (_name, change, expected) => {
    expect(entries(false, change)).toEqual(expected)
  })

  it.each<[string, Change, [string, string | null]]>([
    ['nothing is set', {}, ['e7/i/7', null]],
    ['it has a password', { rules: password }, ['e7/pi/7', 'r12/p/7']],
    ['only addresses may come', { rules: address }, ['e7/ai/7', 'r12/a/7']],
    ['only its releases have a password', { rules: password, onlyReleases: true }, ['e7/i/7', 'r12/p/7']],
    ['releases are off', { rules: password, releaseAddresses: 'off' }, ['e7/pi/7', null]],
    ['releases are public', { releaseAddresses: 'public' }, ['e7/i/7', 'r12']],
    ['releases are public, and it has a password', { rules: password, releaseAddresses: 'public' }, ['e7/pi/7', 'r12']],
    ['it is limited', { rules: limits, releaseAddresses: 'public' }, ['e7/li/7', 'r12/l/7']],
  ])('that is live, when %s', (_name, change, expected) => {
    expect(entries(true, change)).toEqual(expected)
  })

  it('is the usual when nothing is known of it', () => {
    expect(hostEntriesOf({ environmentId: 7, live: false, releaseId: 12 }, new Map()).environment).toBe('e7')
  })
})

describe('rules of environments, compared', () => {
  const holding = (rules: [number, Rules][]) => ({
    ...{ hosts: new Map(), keys: new Map(), sets: new Map() },
    rules: new Map(rules),
  })
  const some: Rules = { ...password, allowed: ['41', '42'], limits: null }

  it('are told by name, and without a word of the passwords', () => {
    const told = compareRoutes(holding([[7, some]]), holding([[9, some]]))
    expect(told).toEqual([expect.stringContaining('e7'), expect.stringContaining('e9')])
    expect(told.join()).not.toContain('AAA')
  })

  it('are the same in any order', () => {
    expect(compareRoutes(holding([[7, some]]), holding([[7, { ...some, allowed: ['42', '41'] }]]))).toEqual([])
    expect(compareRoutes(holding([[7, some]]), holding([[7, { ...some, ...limits }]]))).toHaveLength(1)
  })
})
