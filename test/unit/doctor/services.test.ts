import { describe, expect, it } from '@jest/globals'
import { examine } from '../../../src/doctor/index.ts'
import {
  type EngineFacts,
  judgeDatabase,
  judgeEngine,
  judgeFirewall,
  judgeGit,
  judgeMissing,
  judgePort,
  judgeProxy,
} from '../../../src/doctor/services.ts'
import type { Finding } from '../../../src/doctor/finding.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'

const engine: EngineFacts = {
  version: '20.10.24',
  apiVersion: '1.41',
  liveRestore: true,
  swarm: false,
  isolatesContainers: true,
  limits: { memory: true, cpu: true, pids: true },
  cgroups: '1 (cgroupfs)',
  dataRoot: '/var/lib/docker',
}
const notOk = (findings: readonly Finding[]): string[] =>
  findings.filter(({ status }) => status !== 'ok').map(({ check, status }) => `${check} ${status}`)

describe('the engine', () => {
  it.each<[string, Partial<EngineFacts>, string[]]>([
    ['as it should be', {}, []],
    ['too old', { apiVersion: '1.40' }, ['engine fail']],
    ['newer', { apiVersion: '1.51' }, []],
    ['without live-restore', { liveRestore: false }, ['engine: live-restore warn']],
    ['with containers that reach each other', { isolatesContainers: false }, ['engine: icc warn']],
    ['without limits of processes', { limits: { memory: true, cpu: true, pids: false } }, ['cgroups warn']],
    ['without limits of memory', { limits: { memory: false, cpu: true, pids: true } }, ['cgroups fail']],
  ])('%s', (_, facts, expected) => {
    expect(notOk(judgeEngine({ ...engine, ...facts }))).toEqual(expected)
  })

  it('in a swarm cannot have live-restore, and is told so', () => {
    const [, restore] = judgeEngine({ ...engine, liveRestore: false, swarm: true })
    expect(restore?.status).toBe('warn')
    expect(restore?.what).toContain('Swarm')
  })
})

const startedAt = new Date('2026-11-21T19:38:46.500Z')

describe('the database', () => {
  const database = { version: 150_008, clockAheadMs: 3, connections: { used: 12, most: 100 }, startedAt }

  it.each([
    ['as it should be', {}, []],
    ['of an older version', { version: 140_002 }, ['database warn']],
    ['too old', { version: 120_000 }, ['database fail']],
    ['with its connections used up', { connections: { used: 95, most: 100 } }, ['database warn']],
    ['with a clock behind', { clockAheadMs: -3_000 }, ['clock warn']],
    ['with a clock of another day', { clockAheadMs: 86_400_000 }, ['clock fail']],
  ])('%s', (_, facts, expected) => {
    expect(notOk(judgeDatabase({ ...database, ...facts }))).toEqual(expected)
  })
})

describe('the rest', () => {
  it('says since when proxy and database run: whether one of them was away', () => {
    const database = { version: 150_008, clockAheadMs: 3, connections: { used: 12, most: 100 }, startedAt }
    expect([judgeProxy({ damages: [], startedAt }), ...judgeDatabase(database)].map(({ what }) => what)).toEqual([
      'It answers, since 2026-11-21T19:38:46Z, and its maps are as they were written',
      'PostgreSQL 15.8, since 2026-11-21T19:38:46Z, 12 of 100 connections',
      expect.anything(),
    ])
  })

  it('is judged: proxy, port, firewall, git', () => {
    expect(
      notOk([
        judgeProxy({ damages: [], startedAt }),
        judgePort('127.0.0.1:80', null),
        judgeFirewall(null),
        judgeGit('2.39.5'),
      ]),
    ).toEqual([])
    expect(
      notOk([
        judgeProxy({ damages: ['The map file hosts is gone'], startedAt }),
        judgePort('127.0.0.1:80', 'it answers 404'),
        judgeFirewall('10.0.0.1:22 can be reached.'),
        judgeGit('2.30.1'),
        judgeGit('2.20'),
        judgeGit(null),
      ]),
    ).toEqual(['proxy warn', 'port fail', 'firewall fail', 'git warn', 'git fail', 'git fail'])
  })

  it('says what is not there yet; only who listens to the world is warned for want of certificates', () => {
    expect(notOk(judgeMissing({ bind: '127.0.0.1', buildkit: null }))).toEqual([])
    expect(notOk(judgeMissing({ bind: '0.0.0.0', buildkit: 'docker 20.10.24' }))).toEqual(['certificates warn'])
  })
})

describe('an examination', () => {
  it('goes through all checks, in their order; one that throws is a finding with what to do', async () => {
    const found = await examine([
      {
        name: 'one',
        why: 'It matters.',
        run: () => Promise.reject(new SlipwayError('unavailable', 'It does not answer.', { hint: 'Start it.' })),
      },
      { name: 'two', why: '', run: async () => [judgeGit('2.40'), judgeGit('2.41')] },
      { name: 'three', why: 'It matters, too.', run: () => Promise.reject(new Error('password=hunter2')) },
    ])
    expect(found.map(({ check }) => check)).toEqual(['one', 'git', 'git', 'three'])
    expect(found[0]).toEqual({
      check: 'one',
      status: 'fail',
      what: 'It does not answer.',
      why: 'It matters.',
      mend: 'Start it.',
    })
    expect(JSON.stringify(found[3])).not.toContain('hunter2')
  })
})
