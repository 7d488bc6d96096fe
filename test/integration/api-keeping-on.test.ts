import { describe, expect, it } from '@jest/globals'
import type { ApiServer } from '../support/api-server.ts'
import { withOwnApi } from '../support/own-api.ts'
import type { Cli, CliResult } from '../support/slipway-cli.ts'

/* `slipway lock`, `unlock` and `maintenance` as a user runs them, and the API below them. */

let server: ApiServer
let cli: Cli

withOwnApi(async (own) => {
  ;({ server, cli } = own)
  await server.environments.createApp('shop')
})

const slipway = (...args: string[]): Promise<CliResult> => cli.run([...args, '-a', 'shop'])

describe('slipway lock', () => {
  it('locks, and everybody is told who, why and since when', async () => {
    const done = await slipway('lock', 'live', '--reason', 'the big sale')
    expect(done).toMatchObject({ code: 0, stdout: 'live of shop is locked: “the big sale”\n' })
    expect(done.stderr).toContain('slipway unlock live -a shop')
    expect((await slipway('envs', 'list')).stdout).toMatch(/live \(live, locked\) /)
    expect((await slipway('status')).stdout).toMatch(/live \(locked\) /)
    expect((await slipway('status', 'live')).stdout).toMatch(
      /Locked +by admin, .*: “the big sale” \(deploys are refused\)/,
    )
    expect((await slipway('status', '--all', '--json')).stdout).toContain('Locked by admin since')
    expect((await slipway('activity')).stdout).toContain('locked the environment live: “the big sale”')
    expect(await slipway('lock', 'live', '--reason', 'again')).toMatchObject({ code: 5 })
  })

  it('unlocks, and says what it was', async () => {
    const done = await slipway('unlock', 'live')
    expect(done.stdout).toMatch(/^live of shop is unlocked\. admin had locked it .* ago: “the big sale”\n$/)
    expect(await slipway('unlock', 'live')).toMatchObject({ code: 0, stdout: 'live of shop was not locked.\n' })
    expect((await slipway('activity')).stdout).toContain('unlocked the environment live, which admin had locked')
  })

  it('is for the version that was seen, as a program reads it', async () => {
    const { stdout } = await slipway('envs', 'list', '--json')
    const { version } = (JSON.parse(stdout) as { name: string; version: number }[]).find((e) => e.name === 'test') ?? {}
    await slipway('envs', 'set', 'test', '--hold')
    const late = await slipway('lock', 'test', '--reason', 'x', '--if-version', String(version))
    expect(late).toMatchObject({ code: 5 })
    const locked = await slipway('lock', 'test', '--reason', 'x', '--wait', '--allow-rollbacks', '--json')
    expect(JSON.parse(locked.stdout)).toMatchObject({
      environment: { lock: { reason: 'x', by: 'admin', waits: true, allowsRollbacks: true } },
      running: null,
      waiting: [],
    })
    const unlocked = await slipway('unlock', 'test', '--json')
    expect(JSON.parse(unlocked.stdout)).toMatchObject({ environment: { lock: null }, lock: { reason: 'x' } })
  })

  it.each([
    [['lock', 'live'], 2, /Why is it locked/],
    [['lock', 'live', '--reason', ''], 2, /empty/],
    [['lock', 'live', '--reason', 'a\u0007b'], 2, /control characters/],
    [['lock', 'live', '--reason', 'x'.repeat(10_000)], 2, /more than 300 characters/],
    [['lock', 'nope', '--reason', 'x'], 4, /no environment/],
    [['unlock', 'nope'], 4, /no environment/],
  ] as const)('refuses what cannot be (case %#), in words', async (args, code, told) => {
    const done = await slipway(...args)
    expect(done.code).toBe(code)
    expect(done.stderr).toMatch(told)
  })

  it('never shows a secret that stands in the reason', async () => {
    await slipway('vars', 'set', 'TOKEN=swordfish-12345', '--secret', '-e', 'test')
    await slipway('lock', 'test', '--reason', 'swordfish-12345 leaked')
    const all = await Promise.all([slipway('envs', 'list', '--json'), slipway('activity', '--json'), slipway('status')])
    expect(all.map(({ stdout }) => stdout).join('')).not.toContain('swordfish')
    await slipway('unlock', 'test')
  })
})

describe('slipway maintenance', () => {
  it('goes on and off, and everybody is told', async () => {
    const on = await slipway('maintenance', 'on', 'live', '--message', 'Back at 14:00', '--allow', '203.0.113.7')
    const { id } = await server.environments.get('shop', 'live')
    expect(on).toMatchObject({ code: 0 })
    expect(on.stdout).toMatch(/^Visitors of http:\S+ are told that it is being worked on: “Back at 14:00”\n$/)
    expect(on.stderr).toContain('203.0.113.7/32 sees the site')
    expect(server.applied.at(-1)).toBe(id)
    const again = await slipway('maintenance', 'on', 'live', '--allow', '198.51.100.0/24')
    expect([again.stdout, again.stderr]).toEqual([
      expect.stringContaining('“Back at 14:00”'),
      expect.stringContaining('Who comes from 198.51.100.0/24 sees the site'),
    ])
    await slipway('maintenance', 'on', 'live', '--allow', '203.0.113.7')
    expect((await slipway('envs', 'list')).stdout).toMatch(/live \(live, maintenance\) /)
    expect((await slipway('status')).stdout).toMatch(/live \(maintenance\) /)
    expect((await slipway('status', 'live')).stdout).toMatch(
      /Maintenance +by admin, .*: “Back at 14:00” \(seen from 203/,
    )
    expect((await slipway('activity')).stdout).toContain('put the maintenance page before live: “Back at 14:00”')
    const off = await slipway('maintenance', 'off', 'live', '--json')
    expect(JSON.parse(off.stdout)).toMatchObject({ name: 'live', maintenance: null })
    expect((await slipway('activity')).stdout).toContain('took the maintenance page from live away')
    expect(await slipway('maintenance', 'off', 'live')).toMatchObject({
      ...{ code: 0, stdout: 'live of shop had no maintenance page.\n' },
    })
  })

  it.each([
    [['maintenance', 'on', 'live', '--message', 'a\u0007b'], 2, /control characters/],
    [['maintenance', 'on', 'live', '--allow', 'everywhere'], 2, /range|address/],
    [['maintenance', 'on', 'nope'], 4, /no environment/],
    [['maintenance', 'off', 'live', '--if-version', '1'], 5, /changed meanwhile/],
  ] as const)('refuses what cannot be (case %#), in words', async (args, code, told) => {
    const done = await slipway(...args)
    expect(done.code).toBe(code)
    expect(done.stderr).toMatch(told)
  })
})

describe('slipway deploy', () => {
  it.each([
    [['deploy', 'test', '--content-from', 'live'], 2, /no databases and no media/],
    [['deploy', 'test', '--plan', '--content-from', 'live'], 2, /no databases and no media/],
    [['deploy', 'test', '--reuse-image'], 5, /Nothing was deployed to test/],
    [['deploy', 'test', '--reuse-image', '--plan'], 5, /Nothing was deployed to test/],
    [['deploy', 'test', '--reuse-image', '--force-rebuild'], 2, /nothing to build/],
    [['deploy', 'test', '--reuse-image', '--commit', 'c0ffee1'], 2, /no commit to choose/],
    [['deploy', 'test', '--plan', '--reuse-image', '--force-rebuild'], 2, /nothing to build/],
    [['deploy', 'nope', '--plan'], 4, /no environment/],
  ] as const)('refuses what cannot be (case %#), in words', async (args, code, told) => {
    const done = await slipway(...args)
    expect(done.stderr).toMatch(told)
    expect(done.code).toBe(code)
    expect(await server.pool.query('select 1 from deploys')).toEqual([])
  })
})
