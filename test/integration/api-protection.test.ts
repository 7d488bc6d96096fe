import { describe, expect, it } from '@jest/globals'
import type { ApiServer } from '../support/api-server.ts'
import { withOwnApi } from '../support/own-api.ts'
import type { Cli, CliResult } from '../support/slipway-cli.ts'

/* `slipway protect` as a user runs it, and the API below it. */

let server: ApiServer
let cli: Cli

withOwnApi(async (own) => {
  ;({ server, cli } = own)
  await server.environments.createApp('shop')
})

const slipway = (args: readonly string[], input?: string): Promise<CliResult> =>
  cli.run(args, input === undefined ? {} : { input })
const hashOf = async (user: string): Promise<string | undefined> =>
  (await server.pool.query<{ hash: string }>('select hash from environment_passwords where user_name = $1', [user]))[0]
    ?.hash

describe('slipway protect', () => {
  it('takes a password from standard input, as it is, and shows it to nobody', async () => {
    const done = await slipway(['protect', 'test', 'anna', '-a', 'shop'], '  ä secret:with 漢字 \nsecond line\n')
    expect(done).toMatchObject({ code: 0, stdout: 'Only anna with a password may see test.\n' })
    const same = await slipway(['protect', 'test', 'bert', '-a', 'shop', '--json'], '  ä secret:with 漢字 \r\n')
    expect(JSON.parse(same.stdout)).toMatchObject({ users: [{ name: 'anna' }, { name: 'bert' }], ranges: [] })
    expect(same.stdout + done.stdout + done.stderr).not.toContain('secret')
    // Another user's hash is another one, though the password is the same.
    expect(await hashOf('anna')).not.toBe(await hashOf('bert'))
    expect(server.applied.length).toBeGreaterThan(0)
  })

  it('makes one where none is given, and shows it once', async () => {
    const made = await slipway(['protect', 'test', '-a', 'shop'], '')
    expect(made.stdout).toMatch(/^The password of shop, shown this once: [a-z2-9]{20}\n/)
    const { stdout } = await slipway(['protect', 'test', 'carl', '--generate', '-a', 'shop', '--json'])
    expect((JSON.parse(stdout) as { password: string }).password).toMatch(/^[a-z2-9]{20}$/)
    expect((await slipway(['protect', 'test', '--list', '-a', 'shop', '--json'])).stdout).not.toContain('password')
  })

  it('lets in ranges without asking for a password, and is told in the lists', async () => {
    const done = await slipway(['protect', 'live', '--allow', '203.0.113.0/24', '2001:DB8::/48', '-a', 'shop'])
    expect(done).toMatchObject({ code: 0, stdout: 'Only visitors from 203.0.113.0/24, 2001:db8::/48 may see live.\n' })
    const list = await slipway(['envs', 'list', '-a', 'shop'])
    expect(list.stdout).toMatch(/test .* password /)
    expect(list.stdout).toMatch(/live \(live\) .* addresses /)
    const less = await slipway(['protect', 'live', '--disallow', '2001:db8::/48', '--only-releases', '-a', 'shop'])
    expect(less.stdout).toBe(
      'Only visitors from 203.0.113.0/24 may see the addresses of live’s releases; live itself is open to all.\n',
    )
    expect((await slipway(['status', 'live', '-a', 'shop'])).stdout).toContain('addresses, releases only')
  })

  it('is taken away for one, or for all', async () => {
    expect((await slipway(['unprotect', 'test', 'anna', '-a', 'shop'])).stdout).toMatch(/^Only bert, carl, shop with/)
    expect((await slipway(['unprotect', 'test', '-a', 'shop'])).stdout).toBe('Everybody may see test.\n')
    expect(await slipway(['unprotect', 'test', 'anna', '-a', 'shop'])).toMatchObject({ code: 4 })
  })

  it('says what is wrong, and what to do', async () => {
    const cases: [string[], string | undefined, number, RegExp][] = [
      [['protect', 'test', 'a:b'], 'secret\n', 2, /cannot be the name of a user/],
      [['protect', 'test', 'anna'], 'tab\there\n', 2, /control characters/],
      [['protect', 'test', '--allow', '203.0.113.7/24'], undefined, 2, /did you mean 203\.0\.113\.0\/24/],
      [['protect', 'nope', 'anna'], 'secret\n', 4, /no environment/],
      [['envs', 'set', 'test', '--max-requests', '0'], undefined, 2, /whole number/],
      [['envs', 'set', 'test', '--visitor-rate', 'much'], undefined, 2, /whole number/],
      [['apps', 'set', '--release-addresses', 'maybe'], undefined, 2, /off.*protected.*public/],
      [['apps', 'set'], undefined, 2, /Nothing to change/],
    ]
    for (const [args, input, code, told] of cases) {
      const done = await slipway([...args, '-a', 'shop'], input)
      expect({ args, code: done.code, told: done.stderr }).toEqual({ args, code, told: expect.stringMatching(told) })
      expect(done.stderr).not.toContain('secret')
    }
  })
})

describe('limits and release addresses', () => {
  it('are set and told', async () => {
    const set = await slipway(['envs', 'set', 'test', '--max-requests', '50', '--visitor-rate', '5/s', '-a', 'shop'])
    expect(set).toMatchObject({
      code: 0,
      stdout: 'Limits of test: 50 open requests at each instance, 5 requests a second of one visitor.\n',
    })
    const back = await slipway([
      'envs',
      'set',
      'test',
      '--max-requests',
      'none',
      '--visitor-rate',
      'none',
      '-a',
      'shop',
    ])
    expect(back.stdout).toBe('Limits of test: the usual ones.\n')
    expect((await slipway(['apps', 'set', 'shop', '--release-addresses', 'public'])).stdout).toContain('everybody')
    const shown = await slipway(['apps', 'show', 'shop', '--json'])
    expect(JSON.parse(shown.stdout)).toMatchObject({ releaseAddresses: 'public' })
  })

  it('are in the activity, without passwords', async () => {
    await slipway(['protect', 'test', 'anna', '-a', 'shop'], 'very-special\n')
    const { stdout } = await slipway(['activity', '-a', 'shop', '-n', '50'])
    expect(stdout).toContain('changed the protection of test: a password for anna')
    expect(stdout).toContain('releaseAddresses: protected → public')
    expect(stdout).not.toContain('special')
  })
})
