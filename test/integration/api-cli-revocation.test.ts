import { beforeEach, describe, expect, it } from '@jest/globals'
import { makeFreshness, makeReleaseVariables, openKeys } from '../../src/vars/index.ts'
import { type ApiServer, apiSecretKey } from '../support/api-server.ts'
import { httpCall } from '../support/http-call.ts'
import { addRelease } from '../support/old-releases.ts'
import { withOwnApi } from '../support/own-api.ts'
import type { Cli, CliResult } from '../support/slipway-cli.ts'

let server: ApiServer
let cli: Cli
let count = 0
let app: string
withOwnApi((own) => void ({ server, cli } = own))
beforeEach(async () => {
  app = `shop${(count += 1)}`
  await server.environments.createApp(app)
})

const vars = (verb: string, ...args: string[]): Promise<CliResult> => cli.run(['vars', verb, '-a', app, ...args])
const from = (input: string, verb: string, ...args: string[]): Promise<CliResult> =>
  cli.run(['vars', verb, '-a', app, ...args], { input })

/** As if one had been made with the variables of now. */
async function makeRelease(environment: 'test' | 'live', { serves = false } = {}): Promise<void> {
  const { id } = await server.environments.get(app, environment)
  const keys = await openKeys(server.pool, apiSecretKey)
  const variables = makeReleaseVariables({
    db: server.pool,
    keys,
    masks: { add: async () => undefined },
    freshness: makeFreshness(),
  })
  const { releaseId, deployId } = await addRelease(server.pool, id)
  const snapshot = await variables.read(server.pool, id)
  await server.pool.transaction((tx) => variables.keep(tx, releaseId, snapshot))
  if (!serves) return
  await server.pool.query('insert into routes (environment_id, release_id, deploy_id) values ($1, $2, $3)', [
    ...[id, releaseId, deployId],
  ])
  await server.pool.query(
    `insert into instances (release_id, deploy_id, position, port, state, drain_ms, stop_ms) values ($1, $2, 1, 80, 'serving', 1, 1)`,
    [releaseId, deployId],
  )
}

describe('slipway vars revoke', () => {
  it('replaces a value that leaked, and says what still runs with it and how that ends', async () => {
    for (const environment of ['test', 'live'] as const) {
      await vars('set', '-e', environment, 'KEY=leaked-value', '--secret')
      await makeRelease(environment)
      await makeRelease(environment, { serves: environment === 'live' })
    }
    const done = await from('the-new-one\n', 'revoke', 'KEY')
    expect([done.code, done.stdout]).toEqual([
      0,
      `Revoked the value of KEY that test of ${app} had: replaced in the variables of test, live and releases (test 2, live 2).
live still runs with the old value (v2). Start it anew: slipway restart live -a ${app}
`,
    ])
    expect(done.stderr).toContain('make the old value worthless where it came from')
    expect(done.stdout + done.stderr).not.toMatch(/leaked-value|the-new-one/)
    const status = await cli.run(['status', 'live', '-a', app])
    expect(status.stdout).toMatch(
      new RegExp(`^ !     Still runs with a value that was revoked at .*: slipway restart live -a ${app}$`, 'm'),
    )
    const shown = await cli.run(['releases', 'show', 'v2', '-e', 'live', '-a', app])
    expect(shown.stdout).toMatch(
      new RegExp(`^State +serves\\n +still with a value that was revoked .* ago: slipway restart live -a ${app}$`, 'm'),
    )
    for (const args of [
      ['status', 'test'],
      ['releases', 'show', 'v2', '-e', 'test'],
      ['releases', 'show', 'v1', '-e', 'live'],
    ])
      expect((await cli.run([...args, '-a', app])).stdout).not.toContain('revoked')
    const again = await vars('set', 'KEY=leaked-value')
    expect([again.code, again.stderr]).toEqual([5, expect.stringMatching(/This value of KEY was revoked by admin at/)])
    expect((await vars('set', 'KEY=another one')).code).toBe(0)
    const { stdout } = await cli.run(['activity', '-a', app])
    expect(stdout).toContain('revoked a value of KEY: replaced in live and 2 releases of it')
    const told = await server.pool.query(`select data::text from events where data::text ~ 'leaked-value|the-new-one'`)
    expect(told).toEqual([])
    expect(JSON.stringify(server.logged)).not.toMatch(/leaked-value|the-new-one/)
  })

  it('removes it, names the images that hold it, and says how to be rid of it', async () => {
    await vars('set', 'KEY=leaked-value', '--build')
    await makeRelease('test', { serves: true })
    const done = await vars('revoke', 'KEY', '--remove')
    expect(done.stdout).toBe(
      `Revoked the value of KEY that test of ${app} had: removed from the variables of test and releases (test 1).
test still runs with the old value (v1). Start it anew: slipway deploy test -a ${app}
Images that were built with it hold it as long as they are kept; nothing is gone back to, promoted or woken from them any more: those of test v1.
`,
    )
    expect((await vars('get', 'KEY')).code).toBe(4)
    const shown = await cli.run(['releases', 'show', 'v1', '-a', app])
    expect(shown.stdout).toMatch(/^Variables +none$/m)
  })

  it('takes the value of a release that is not set any more, and gives JSON', async () => {
    await vars('set', 'KEY=leaked-value')
    await makeRelease('test')
    await vars('set', 'KEY=changed')
    const done = await vars('revoke', 'KEY=brand-new', '--of', 'v1', '--json')
    expect(JSON.parse(done.stdout)).toEqual({
      name: 'KEY',
      environments: [
        { environment: 'test', variable: false, releases: 1, running: [] },
        { environment: 'live', variable: false, releases: 0, running: [] },
      ],
      begun: [],
      goingOn: [],
      images: { total: 0, first: [] },
    })
    expect((await vars('get', 'KEY')).stdout).toBe('changed')
  })

  it('names the jobs and runs that go on with it, or says that they are not known', async () => {
    await vars('set', 'KEY=leaked-value')
    await makeRelease('test')
    server.goingOn.left = [
      { environment: 'test', release: 1, job: null },
      { environment: 'live', release: 12, job: 'report' },
    ]
    const { stdout } = await vars('revoke', 'KEY=another')
    expect(stdout.split('\n').slice(1, -1)).toEqual([
      'A command that somebody runs in test (v1) goes on with the old value until it ends.',
      'The job report of live (v12) goes on with the old value until it ends.',
    ])
    server.goingOn.left = null
    const unknown = await vars('revoke', 'KEY=one-more')
    server.goingOn.left = []
    expect(unknown.stdout).toContain(
      '\nWhether jobs or runs go on with the old value is not known: the engine does not answer.\n',
    )
  })

  it('is refused in words when it cannot be', async () => {
    await vars('set', 'KEY=leaked-value')
    await makeRelease('test')
    const cases: [Promise<CliResult>, number, RegExp][] = [
      [vars('revoke', 'KEY=leaked-value'), 2, /That is the value of KEY that is to be revoked\. Nothing was changed\./],
      [vars('revoke', 'KEY=x', '--remove'), 2, /Give one of them/],
      [vars('revoke', '1KEY=x'), 2, /cannot be the name/],
      [vars('revoke', 'MISSING=x'), 4, /MISSING is not set in test.*\n.*--of v12/],
      [vars('revoke', 'MISSING=x', '--of', 'v1'), 4, /v1 of test has no MISSING/],
      [vars('revoke', 'KEY=x', '--of', 'v9'), 4, /no release v9/],
      [vars('revoke', 'KEY=x', '-e', 'stage'), 4, /has no environment/],
      [from('', 'revoke', 'KEY'), 2, /Nothing was given as the value of KEY/],
    ]
    for (const [asked, code, text] of cases) {
      const refused = await asked
      expect([refused.code, refused.stderr]).toEqual([code, expect.stringMatching(text)])
    }
    expect((await vars('get', 'KEY')).stdout).toBe('leaked-value')
    const path = `${server.url}/api/v1/apps/${app}/environments/test/vars/KEY/revocation`
    for (const body of [
      {},
      { value: 'x', remove: true },
      { value: 1 },
      { remove: false },
      { value: 'x', of: 'latest' },
    ]) {
      const refused = await httpCall('POST', path, { token: server.token.reveal(), body })
      expect([body, refused.status]).toEqual([body, 400])
    }
  })
})
