import { beforeAll, describe, expect, it } from '@jest/globals'
import { tryHoldImage } from '../../src/builds/index.ts'
import { makeReleases } from '../../src/releases/index.ts'
import { type ApiServer, otherCommit, someCommit, unreadable } from '../support/api-server.ts'
import { httpCall } from '../support/http-call.ts'
import { addRelease } from '../support/old-releases.ts'
import { withOwnApi } from '../support/own-api.ts'
import type { Cli, CliResult } from '../support/slipway-cli.ts'

let server: ApiServer
let cli: Cli
let test: number
let live: number
withOwnApi(async (own) => {
  ;({ server, cli } = own)
  await server.environments.createApp('shop')
  test = (await server.environments.get('shop', 'test')).id
  live = (await server.environments.get('shop', 'live')).id
})

const get = async (below: string): Promise<{ status: number; json: unknown }> =>
  httpCall('GET', `${server.url}/api/v1/apps/shop/environments/${below}`, { token: server.token.reveal() })
const slipway = (...args: string[]): Promise<CliResult> => cli.run([...args, '-a', 'shop'])

/** As if its variables had these marks, and its build this configuration. */
async function setContent(releaseId: number, marks: Record<string, string>, config: object): Promise<void> {
  await server.pool.query('update releases set variable_marks = $2 where id = $1', [releaseId, JSON.stringify(marks)])
  await server.pool.query('update builds set config = $2 where id = (select build_id from releases where id = $1)', [
    releaseId,
    JSON.stringify(config),
  ])
}

async function serve(environmentId: number, releaseId: number): Promise<void> {
  await server.pool.query(
    `insert into routes (environment_id, release_id) values ($1, $2)
     on conflict (environment_id) do update set release_id = excluded.release_id`,
    [environmentId, releaseId],
  )
}

describe('releases of an environment', () => {
  beforeAll(async () => {
    const first = await addRelease(server.pool, test, { commit: someCommit, daysAgo: 9 })
    const second = await addRelease(server.pool, test, { commit: someCommit, state: 'failed', daysAgo: 5 })
    const third = await addRelease(server.pool, test, { commit: otherCommit })
    await server.pool.query(`update deploys set branch = 'main' where id = $1`, [third.deployId])
    await server.pool.query('update builds set image_removed_at = now() where id = $1', [first.buildId])
    await setContent(second.releaseId, { OLD: '1', SAME: '2', KEY: '3' }, { port: 80, drainMs: 30_000 })
    await setContent(
      third.releaseId,
      { NEW: '1', SAME: '2', KEY: '4' },
      { port: 8000, drainMs: 30_000, processes: [{ name: 'web', run: null, instances: 2 }] },
    )
    await serve(test, third.releaseId)
    await server.pool.query(
      `insert into deploys (environment_id, kind, commit, requested_by, state, build_id, release_id, finished_at)
       values ($1, 'restart', $2, 'bob', 'live', $3, $4, now())`,
      [test, otherCommit, third.buildId, third.releaseId],
    )
    await server.pool.query(
      `insert into deploy_steps (deploy_id, step, started_at, finished_at, outcome)
       values ($1, 'build', now() - interval '90 s', now() - interval '30 s', 'done'), ($1, 'start', now() - interval '30 s', null, null)`,
      [third.deployId],
    )
    await addRelease(server.pool, live, { commit: otherCommit, buildId: third.buildId })
  })

  it('are listed newest first: which serves, which images are kept, of what, who and why', async () => {
    const { status, json } = await get('test/releases')
    expect([status, json]).toMatchObject([
      200,
      {
        releases: [
          { release: 'v3', serves: true, image: 'kept', pinned: false, subject: 'Change 1', author: 'Ada' },
          {
            release: 'v2',
            serves: false,
            image: 'kept',
            deploy: { state: 'failed', kind: 'push', requestedBy: 'ada' },
          },
          { release: 'v1', serves: false, image: 'gone', deploy: { state: 'live' } },
        ],
        next: null,
      },
    ])
    const { stdout } = await slipway('releases', 'list')
    expect(stdout).toMatch(/^v3 +serves +kept +c0ffee1111 +Change 1 +ada +push to main +\d+ s ago$/m)
    expect(stdout).toMatch(/^v2 +failed +kept +c0ffee0000 +Change 1 +ada +push +\d+ s ago$/m)
    expect(stdout).toMatch(/^v1 +has served +gone /m)
    // A stopped environment serves nothing.
    await server.pool.query(`update environments set state = 'stopped' where id = $1`, [test])
    expect((await slipway('releases', 'list')).stdout).toMatch(/^v3 +has served/m)
    await server.pool.query(`update environments set state = 'active' where id = $1`, [test])
  })

  it('come in pages', async () => {
    const first = (await get('test/releases?limit=2')).json as { next: string }
    expect(first.next).toBe('v2')
    expect((await get('test/releases?limit=2&before=v2')).json).toMatchObject({
      releases: [{ release: 'v1' }],
      next: null,
    })
    const page = await slipway('releases', 'list', '-n', '2')
    expect(page.stderr).toContain('Older ones: slipway releases list test -a shop --before v2')
    expect((await slipway('releases', 'list', '--before', 'v2', '--json')).stdout).toContain('"v1"')
    for (const query of ['limit=0', 'limit=201', 'before=x', 'before=v0', 'before=v9999999999', 'after=v1']) {
      expect([query, (await get(`test/releases?${query}`)).status]).toEqual([query, 400])
    }
    expect((await slipway('releases', 'list', '--before', 'x')).code).toBe(2)
    expect((await get('staging/releases')).status).toBe(404)
  })

  it('are shown with all that they are made of, and no value', async () => {
    const { status, json } = await get('test/releases/v3')
    expect([status, json]).toMatchObject([
      200,
      {
        digest: expect.stringMatching(/^sha256:/),
        url: expect.stringMatching(/^http:\/\/v3--test--shop\.localhost:\d+$/),
        configuration: { port: 8000, drain: '30s' },
        variables: ['KEY', 'NEW', 'SAME'],
        steps: [
          { step: 'build', outcome: 'done' },
          { step: 'start', outcome: null, finishedAt: null },
        ],
        deploys: { total: 2, newest: [{ kind: 'restart', requestedBy: 'bob' }, { kind: 'push' }] },
      },
    ])
    const { stdout } = await slipway('releases', 'show', '3')
    expect(stdout).toMatch(/^Made +\d+ s ago by ada: push to main$/m)
    expect(stdout).toMatch(/^ +Change 1 \(Ada\)$/m)
    expect(stdout).toMatch(/^Variables +KEY, NEW, SAME$/m)
    expect(stdout).toMatch(/^Steps +build: 60\.0 s$/m)
    expect(stdout).toMatch(/^ +drain: 30s$/m)
    const gone = await slipway('releases', 'show', 'v1')
    expect(gone.stdout).toMatch(/gone since \d+ s ago: nothing starts from it any more/)
    expect(gone.stdout).not.toContain('Address')
  })

  it('are named in words when they are not there', async () => {
    const missing = await slipway('releases', 'show', 'v99')
    expect([missing.code, missing.stderr]).toEqual([
      4,
      expect.stringMatching(/test has no release v99\.\n.*slipway releases list test/),
    ])
    expect((await slipway('releases', 'show', 'latest')).code).toBe(2)
    expect((await get('test/releases/latest')).status).toBe(400)
    expect((await get('test/releases/v3/comparison?from=v99')).status).toBe(404)
    expect((await get('test/releases/v3/comparison?from=staging:v1')).status).toBe(404)
    expect((await get('test/releases/v3/comparison')).status).toBe(400)
  })

  it('are made anew by a deploy of their commit that shares no build', async () => {
    const asked = await slipway('releases', 'rebuild', 'v1', '-e', 'test', '--no-wait', '--json')
    expect(asked.code).toBe(0)
    expect(JSON.parse(asked.stdout)).toMatchObject({ kind: 'deploy', environment: 'test', commit: someCommit })
    expect((await slipway('releases', 'rebuild', 'v99', '--no-wait')).code).toBe(4)
    expect((await slipway('releases', 'rebuild', 'newest', '--no-wait')).code).toBe(2)
  })

  it('that were made anew say of which', async () => {
    const { releaseId, deployId } = await addRelease(server.pool, test, { commit: someCommit })
    await server.pool.query(
      `update deploys set kind = 'deploy', rebuild_of_release_id =
         (select id from releases where environment_id = $2 and number = 1) where id = $1`,
      [deployId, test],
    )
    expect((await get('test/releases?limit=2')).json).toMatchObject({
      releases: [{ deploy: { rebuildOf: 'v1' } }, { deploy: { rebuildOf: null } }],
    })
    expect((await slipway('releases', 'list')).stdout).toMatch(/^v4 .* ada +rebuild of v1 +\d+ /m)
    const { stdout } = await slipway('releases', 'show', 'v4')
    expect(stdout).toMatch(/^Made .* by ada: rebuild of v1$/m)
    expect(stdout).toMatch(new RegExp(`^Deploys +${deployId}: rebuild of v1, live, by ada, `, 'm'))
    await server.pool.query('delete from deploys where id = $1', [deployId])
    await server.pool.query('delete from releases where id = $1', [releaseId])
  })

  it('are not made anew without their commit, which is said', async () => {
    await addRelease(server.pool, live, { commit: 'd'.repeat(40) })
    const refused = await slipway('releases', 'rebuild', 'v2', '-e', 'live', '--no-wait')
    expect([refused.code, refused.stderr]).toEqual([
      5,
      expect.stringMatching(
        /The commit dddddddddd of v2 is not in the repository any more\.\n.*git push divio dddddddddd:/,
      ),
    ])
    await server.pool.query('delete from deploys where commit = $1', ['d'.repeat(40)])
    await server.pool.query('delete from releases where environment_id = $1 and number = 2', [live])
  })

  it('are compared, also with another environment’s', async () => {
    server.counted.between = { added: 70, left: 1 }
    const { json } = await get('test/releases/v3/comparison?from=v2')
    expect(json).toMatchObject({
      from: { environment: 'test', release: 'v2', commit: someCommit },
      to: { release: 'v3', commit: otherCommit },
      isSameImage: false,
      commits: { added: { total: 70, first: [{ id: otherCommit, author: 'Ada' }] }, removed: { total: 1 } },
      variables: { added: ['NEW'], removed: ['OLD'], changed: ['KEY'] },
      configuration: { total: 1, first: [{ path: 'port', from: '80', to: '8000' }] },
      processes: { total: 1 },
    })
    const { stdout } = await slipway('releases', 'diff', 'v2', 'v3')
    expect(stdout).toBe(`From v2 of test to v3 of test

Commits that only v3 of test has:
  c0ffee1111  Change it  (Ada)
  … and 69 more

Commits that only v2 of test has:
  c0ffee0000  Change it  (Ada)

Variables:
  added: NEW
  removed: OLD
  changed: KEY

Processes:
  web.instances: 1 → 2

Configuration:
  port: 80 → 8000
`)
    server.counted.between = null
    const gone = await slipway('releases', 'diff', 'v3', 'v2')
    expect(gone.stderr).toContain('one is not in the repository any more')
    const across = await slipway('releases', 'diff', 'test:v3', 'live:v1')
    expect(across.stdout).toMatch(/^From v3 of test to v1 of live: the same image\n\nVariables:\n {2}removed: KEY/)
    expect((await slipway('releases', 'diff', 'v3', 'v3')).stdout).toBe(
      'From v3 of test to v3 of test: the same image\nNothing differs.\n',
    )
    expect((await slipway('releases', 'diff', 'v3', 'live:')).code).toBe(2)
  })

  it('are there when git is not', async () => {
    await addRelease(server.pool, live, { commit: unreadable })
    expect((await get('live/releases')).json).toMatchObject({
      releases: [
        { release: 'v2', subject: null },
        { release: 'v1', subject: null },
      ],
    })
  })

  it('are pinned and unpinned, once each, unless their image is gone', async () => {
    const events = () =>
      server.pool.query(
        `select kind, environment, actor, data from events where kind like 'release.%' order by id desc limit 2`,
      )
    const before = await events()
    const pin = await slipway('releases', 'pin', 'v2')
    expect([pin.code, pin.stdout]).toEqual([0, 'v2 of test is pinned: its image is kept however old it gets.\n'])
    await slipway('releases', 'pin', 'v2')
    expect((await slipway('releases', 'list')).stdout).toMatch(/^v2 +failed +pinned/m)
    expect((await slipway('releases', 'show', 'v2')).stdout).toContain('pinned: it is kept until')
    expect((await slipway('releases', 'unpin', 'v2')).code).toBe(0)
    expect(await events()).toEqual([
      { kind: 'release.unpinned', environment: 'test', actor: 'admin', data: { release: 2 } },
      { kind: 'release.pinned', environment: 'test', actor: 'admin', data: { release: 2 } },
    ])
    expect(before).toEqual([])
    // Nothing is told of a pin that was there.
    expect(await server.pool.query(`select 1 from events where kind = 'release.pinned'`)).toHaveLength(1)
    const gone = await slipway('releases', 'pin', 'v1')
    expect([gone.code, gone.stderr]).toEqual([
      5,
      expect.stringMatching(/The image of v1 is gone: .*\n.*slipway releases rebuild v1 test\./),
    ])
    expect((await slipway('releases', 'pin', 'v99')).code).toBe(4)
    // What is not to be kept needs no image.
    await server.pool.query('update releases set pinned = true where environment_id = $1 and number = 1', [test])
    expect((await slipway('releases', 'unpin', 'v1')).code).toBe(0)
    expect((await slipway('activity')).stdout).toContain('pinned v2 of test: its image is kept')
  })

  it('say whose image they took', async () => {
    const [made] = await server.pool.query<{ id: number }>(
      `select d.id from deploys d join releases r on r.id = d.release_id where r.environment_id = $1 and r.number = 1`,
      [live],
    )
    const from = (number: number, environmentId: number, kind: string) =>
      server.pool.query(
        `update deploys set kind = $4, variables_of = 'environment',
           from_release_id = (select id from releases where environment_id = $2 and number = $1) where id = $3`,
        [number, environmentId, made?.id, kind],
      )
    await from(3, test, 'promotion')
    expect((await slipway('releases', 'list', 'live')).stdout).toMatch(/^v1 .* ada +promotion of test v3 /m)
    await from(1, live, 'rollback')
    expect((await slipway('releases', 'list', 'live')).stdout).toMatch(/^v1 .* ada +rollback to v1 /m)
  })

  it('are described', async () => {
    const reply = await httpCall('GET', `${server.url}/api/v1/openapi.json`, { token: server.token.reveal() })
    const { paths } = reply.json as { paths: object }
    const path = '/apps/{app}/environments/{environment}/releases'
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([path, `${path}/{release}`, `${path}/{release}/comparison`]),
    )
  })
})

describe('10,000 releases', () => {
  interface Plan {
    'Node Type': string
    'Relation Name'?: string
    'Actual Rows': number
    'Actual Loops': number
    'Rows Removed by Filter'?: number
    Plans?: Plan[]
  }
  const flatten = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flatten)]
  const tables = ['releases', 'builds', 'deploys', 'environments', 'routes']
  let many: number

  beforeAll(async () => {
    await server.environments.createApp('many')
    many = (await server.environments.get('many', 'test')).id
    // One statement for all takes longer than statements may on a busy machine.
    for (let first = 1; first <= 10_000; first += 2_000) {
      await server.pool.query(
        `with made as (
           insert into builds (app_id, number, commit, key, config, state, image)
           select e.app_id, n, $2, 'many' || n, '{}', 'succeeded', jsonb_build_object('digest', 'sha256:' || n)
           from environments e, generate_series($3::int, $3::int + 1999) n where e.id = $1 returning id, number
         ), released as (
           insert into releases (environment_id, number, build_id) select $1, number, id from made returning id, build_id
         )
         insert into deploys (environment_id, kind, commit, requested_by, state, build_id, release_id, finished_at)
         select $1, 'push', $2, 'ada', 'live', r.build_id, r.id, now() from released r, generate_series(1, 2)`,
        [many, someCommit, first],
      )
    }
    for (const table of tables) await server.pool.query(`analyze ${table}`)
  })

  it('are paged by index: a page reads what it shows, wherever it begins', async () => {
    for (const before of [undefined, 5_000, 30]) {
      const nodes: Plan[] = []
      const explaining = {
        async query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
          const analysed = `explain (analyze, format json) ${sql}`
          const rows = await server.pool.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(analysed, values)
          nodes.push(...flatten(rows[0]?.['QUERY PLAN'][0]?.Plan as Plan))
          return []
        },
      }
      await makeReleases({ db: { ...server.pool, ...explaining }, tryHoldImage }).list(many, {
        limit: 20,
        ...(before === undefined ? {} : { before }),
      })
      const read = nodes
        .filter((node) => node['Relation Name'] !== undefined)
        .map((node) => ({
          what: `${node['Node Type']} ${node['Relation Name'] ?? ''}`,
          rows: (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
        }))
      expect(read.filter(({ rows }) => rows > 40)).toEqual([])
      expect(read.filter(({ what }) => /^Seq Scan (releases|builds|deploys)/.test(what))).toEqual([])
      expect(
        read.find(({ what }) => what === 'Index Scan releases' || what === 'Index Scan Backward releases'),
      ).toBeDefined()
    }
  })

  it('are all reached, page by page', async () => {
    const releases = makeReleases({ db: server.pool, tryHoldImage })
    const numbers: number[] = []
    const begunMs = performance.now()
    for (let before: number | undefined; ; before = numbers.at(-1)) {
      const page = await releases.list(many, { limit: 200, ...(before === undefined ? {} : { before }) })
      numbers.push(...page.map(({ number }) => number))
      if (page.length < 200) break
    }
    expect(numbers).toEqual(Array.from({ length: 10_000 }, (_, i) => 10_000 - i))
    expect(performance.now() - begunMs).toBeLessThan(10_000)
  })
})
