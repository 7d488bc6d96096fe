/* eslint-disable @typescript-eslint/no-unsafe-member-access --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from '@jest/globals'
import { type ApiServer, otherCommit, someCommit } from '../support/api-server.ts'
import { eventually, httpCall, type HttpReply } from '../support/http-call.ts'
import { addRelease } from '../support/old-releases.ts'
import { withOwnApi } from '../support/own-api.ts'
import { type Cli, type CliResult, slipwayFile, userPath } from '../support/slipway-cli.ts'

let server: ApiServer
let cli: Cli
withOwnApi(async (own) => {
  ;({ server, cli } = own)
  await server.environments.createApp('shop')
  const { id } = await server.environments.get('shop', 'test')
  await addRelease(server.pool, id, { commit: someCommit, daysAgo: 9 })
  const second = await addRelease(server.pool, id, { commit: otherCommit })
  await server.pool.query(`update builds set config = '{"releaseCommands": []}'`)
  await server.pool.query('insert into routes (environment_id, release_id) values ($1, $2)', [id, second.releaseId])
})

const call = (method: string, below: string, body?: unknown): Promise<HttpReply> =>
  httpCall(method, `${server.url}/api/v1/apps/shop/environments/${below}`, {
    token: server.token.reveal(),
    ...(body === undefined ? {} : { body }),
  })
const slipway = (...args: string[]): Promise<CliResult> => cli.run([...args, '-a', 'shop'])

describe('rollbacks', () => {
  it('are planned without doing anything, and stand in line with the address of their deploy', async () => {
    const plan = await call('GET', 'test/rollback-plan')
    expect([plan.status, plan.json]).toMatchObject([
      200,
      {
        comparison: {
          from: { environment: 'test', release: 'v2', commit: otherCommit },
          to: { environment: 'test', release: 'v1', commit: someCommit },
        },
        commandsSince: { total: 0, first: [] },
        notes: [expect.stringContaining('Pushes to test are held'), expect.stringContaining('--no-hold')],
      },
    ])
    expect((await call('GET', 'test/rollback-plan?hold=false')).json.notes).toEqual([])
    expect((await call('GET', 'test/deploys')).json.deploys).toHaveLength(0)
    const begun = await call('POST', 'test/rollbacks', { release: 'v1', hold: false })
    expect([begun.status, begun.json]).toMatchObject([202, { kind: 'rollback', commit: someCommit, ahead: 0 }])
    expect(begun.headers['location']).toBe(`/api/v1/deploys/${begun.json.id}`)
  })

  it('are refused with a status and a reason', async () => {
    for (const [method, below, body, status, code] of [
      ['POST', 'live/rollbacks', {}, 409, 'conflict'],
      ['GET', 'live/rollback-plan', undefined, 409, 'conflict'],
      ['POST', 'test/rollbacks', { release: 'v9' }, 404, 'not_found'],
      ['POST', 'test/rollbacks', { release: 'v0' }, 400, 'bad_request'],
      ['POST', 'test/rollbacks', { release: 'v1; drop' }, 400, 'bad_request'],
      ['POST', 'test/rollbacks', { commit: someCommit }, 400, 'bad_request'],
      ['GET', 'nowhere/rollback-plan', undefined, 404, 'not_found'],
    ] as const) {
      const answer = await call(method, below, body)
      expect([below, body, answer.status, answer.json.code]).toEqual([below, body, status, code])
    }
  })

  it('are asked for on the command line by environment, release, or both', async () => {
    const plan = await slipway('rollback', '--plan')
    expect([plan.code, plan.stdout]).toEqual([0, expect.stringMatching(/^test goes back from v2 to v1\n/)])
    const json = await slipway('rollback', 'v1', '--plan', '--json')
    expect(JSON.parse(json.stdout).comparison.to.release).toBe('v1')
    for (const args of [['1'], ['test', '1']]) {
      const named = await slipway('rollback', ...args, '--plan')
      expect([named.code, named.stdout]).toEqual([0, expect.stringMatching(/^test goes back from v2 to v1\n/)])
    }
    for (const [args, code, said] of [
      [['rollback', 'test', 'next'], 2, /“next” is not a release/],
      [['rollback', 'test', 'v9'], 4, /test has no release v9/],
      [['rollback', 'test', 'v2'], 5, /v2 is what test serves\.\n.*slipway restart test/],
      [['rollback', 'live'], 5, /Nothing was deployed to live of shop yet/],
      [['rollback', 'test', 'v1', '-e', 'live'], 2, /test or live\?/],
    ] as const) {
      const refused = await slipway(...args)
      expect([refused.code, refused.stderr]).toEqual([code, expect.stringMatching(said)])
    }
    const asked = await slipway('rollback', 'test', '--no-wait', '--no-hold')
    expect([asked.code, asked.stdout]).toEqual([
      0,
      expect.stringMatching(/In line\. Follow it with: slipway deploys log/),
    ])
    const help = await slipway('rollback', '--help')
    expect(help.stdout).toMatch(/never to what was gone back from/)
  })
})

describe('a rollback on a terminal', () => {
  const atTerminal = async (args: string, answer: string): Promise<{ code: number; seen: string }> => {
    const env = { PATH: userPath, HOME: cli.home, GIT_CONFIG_NOSYSTEM: '1' }
    const command = `${process.execPath} ${slipwayFile} rollback test -a shop --no-wait ${args}`
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    let seen = ''
    terminal.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    const ended = once(terminal, 'close')
    if (answer !== '') {
      await eventually(() => seen.includes('[Y/n]'), 'the question')
      terminal.stdin.write(answer)
    }
    const [code] = (await ended) as [number]
    return { code, seen }
  }
  const count = async (): Promise<number> =>
    ((await call('GET', 'test/deploys?limit=200')).json.deploys as unknown[]).length

  it.each([
    { who: 'says no', answer: 'n\r', code: 1 },
    { who: 'leaves', answer: '\u0003', code: 1 },
    { who: 'says yes', answer: '\r', code: 0 },
    { who: 'is not asked', args: '--yes', answer: '', code: 0 },
  ])('shows what goes back, and what does not, to whoever $who', async ({ args = '', answer, code }) => {
    const before = await count()
    const done = await atTerminal(args, answer)
    expect([done.code, (await count()) - before]).toEqual([code, code === 0 ? 1 : 0])
    expect(done.seen).toMatch(/test goes back from v2 to v1\r?\n/)
    expect(done.seen.includes('Take test back to v1? [Y/n]')).toBe(answer !== '')
    // Else the log of the deploy says so.
    expect(done.seen.includes('Pushes to test are held')).toBe(answer !== '')
    expect(done.seen.includes('Nothing went back.')).toBe(code === 1)
  })
})

describe('of a locked environment', () => {
  it('plans say what the lock would do to them', async () => {
    for (const [lock, said] of [
      [[], /is locked by admin: “the sale”; this would be refused\.\n$/],
      [['--wait'], /is locked by admin: “the sale”; this would wait until it is unlocked\.\n$/],
    ] as const) {
      for (const [locked, plan] of [
        ['test', ['rollback', 'test', '--plan']],
        ['live', ['promote', 'test', 'live', '--plan']],
      ] as const) {
        await slipway('lock', locked, '--reason', 'the sale', ...lock)
        expect((await slipway(...plan)).stdout).toMatch(said)
        await slipway('unlock', locked)
      }
    }
    await slipway('lock', 'test', '--reason', 'the sale', '--allow-rollbacks')
    expect((await slipway('rollback', 'test', '--plan')).stdout).not.toContain('locked')
    await slipway('unlock', 'test')
  })
})

describe('promotions', () => {
  it('are planned without doing anything, and stand in line with the address of their deploy', async () => {
    const plan = await call('GET', 'live/promotion-plan?from=test')
    expect([plan.status, plan.json]).toEqual([
      200,
      {
        from: { environment: 'test', release: 'v2', commit: otherCommit },
        ...{
          to: 'live',
          comparison: null,
          buildVariables: [],
          refusal: null,
          commands: [],
          endsHold: false,
          lock: null,
        },
        firstCommits: { total: 3, first: [expect.objectContaining({ id: otherCommit })] },
      },
    ])
    const begun = await call('POST', 'live/promotions', { from: 'test', release: 'v2' })
    expect([begun.status, begun.json]).toMatchObject([
      202,
      { kind: 'promotion', environment: 'live', commit: otherCommit },
    ])
    expect(begun.headers['location']).toBe(`/api/v1/deploys/${begun.json.id}`)
  })

  it('are refused with a status and a reason', async () => {
    for (const [below, body, status, code] of [
      ['test/promotions', { from: 'live' }, 409, 'conflict'],
      ['test/promotions', { from: 'test' }, 400, 'bad_request'],
      ['live/promotions', { from: 'test', release: 'v1' }, 409, 'conflict'],
      ['live/promotions', { from: 'nowhere' }, 404, 'not_found'],
      ['live/promotions', {}, 400, 'bad_request'],
      ['live/promotions', { from: 'test', anyway: true, rebuild: true }, 400, 'bad_request'],
    ] as const) {
      const answer = await call('POST', below, body)
      expect([below, body, answer.status, answer.json.code]).toEqual([below, body, status, code])
    }
  })

  it('show first what will change, and with --plan only that', async () => {
    const plan = await slipway('promote', 'test', 'live', '--plan')
    expect([plan.code, plan.stdout]).toEqual([
      0,
      expect.stringMatching(/^test v2 \(c0ffee1111\) goes to live, which serves nothing yet\n/),
    ])
    const asked = await slipway('promote', 'test', 'live', '--no-wait', '--json')
    expect([asked.code, JSON.parse(asked.stdout)]).toMatchObject([0, { kind: 'promotion', environment: 'live' }])
    for (const [args, code, said] of [
      [['promote', 'test'], 2, /Missing required argument/],
      [['promote', 'test', 'test'], 2, /test cannot be promoted to itself/],
      [['promote', 'live', 'test'], 5, /Nothing was deployed to live/],
      [['promote', 'test', 'live', '--anyway', '--rebuild'], 2, /give one of the two/],
    ] as const) {
      const refused = await slipway(...args)
      expect([refused.code, refused.stderr]).toEqual([code, expect.stringMatching(said)])
    }
  })

  it('say before anybody is asked that the image cannot be taken, and what can be done', async () => {
    const removed = (value: string) =>
      server.pool.query(`update builds set image_removed_at = ${value} where commit = $1`, [otherCommit])
    await removed('now()')
    const plan = await call('GET', 'live/promotion-plan?from=test')
    const refusal = plan.json.refusal as { message: string; hint: string }
    const way = 'slipway promote test live -a shop --rebuild'
    expect(refusal).toEqual({
      message: expect.stringContaining('The image of test v2 '),
      hint: expect.stringContaining(way),
    })
    const said = `It would be refused: ${refusal.message}\n${refusal.hint}\n`
    for (const choice of [[], ['--anyway']]) {
      expect((await slipway('promote', 'test', 'live', '--plan', ...choice)).stdout).toContain(said)
      const refused = await slipway('promote', 'test', 'live', '--no-wait', ...choice)
      expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining(way)])
    }
    expect((await slipway('promote', 'test', 'live', '--plan', '--rebuild')).stdout).not.toContain('refused')
    expect((await slipway('promote', 'test', 'live', '--rebuild', '--yes', '--no-wait')).code).toBe(0)
    await removed('null')
  })

  it('tell the commits of a first one apart from those that come to what serves', async () => {
    const { id } = await server.environments.get('shop', 'live')
    const { releaseId } = await addRelease(server.pool, id, { commit: someCommit })
    await server.pool.query(`update builds set config = '{"releaseCommands": []}'`)
    await server.pool.query('insert into routes (environment_id, release_id) values ($1, $2)', [id, releaseId])
    expect((await call('GET', 'live/promotion-plan?from=test')).json).toMatchObject({
      firstCommits: null,
      comparison: { from: { environment: 'live', release: 'v1' }, to: { environment: 'test', release: 'v2' } },
    })
  })
})
