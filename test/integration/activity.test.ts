/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-return --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeActivity } from '../../src/activity/index.ts'
import { actAs } from '../../src/kernel/actor.ts'
import { appendEvent, type NewEvent } from '../../src/kernel/events.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool } from '../../src/postgres/index.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createTestDatabase } from '../support/database.ts'
import { eventually, type HttpCall, httpCall, type HttpReply } from '../support/http-call.ts'
import { type Cli, makeCli } from '../support/slipway-cli.ts'

let server: ApiServer
let shop: number
beforeAll(async () => {
  server = await startApiServer()
  shop = (await server.environments.createApp('shop')).id
})
afterAll(() => server.remove())

const write = (event: NewEvent): Promise<void> => server.pool.transaction((tx) => appendEvent(tx, event))
const api = (path: string, call: HttpCall = {}): Promise<HttpReply> =>
  httpCall('GET', `${server.url}/api/v1${path}`, { token: server.token.reveal(), ...call })
const everything = { appId: null, environment: null, by: null, kind: null, deployId: null }

describe('activity', () => {
  it('says who did what, from where, and to what, also when that is gone', async () => {
    const { id: gone } = await server.environments.createApp('gone')
    const { id: environmentId } = await server.environments.get('gone', 'test')
    const ada = { name: 'ada', origin: 'cli 203.0.113.9' }
    await actAs(ada, () =>
      write({ kind: 'deploy.queued', appId: gone, environmentId, deployId: 7, data: { commit: 'abc' } }),
    )
    await write({ kind: 'deploy.live', appId: gone, environmentId, deployId: 7, by: 'ada', data: { release: 2 } })
    await server.pool.query('delete from apps where id = $1', [gone])
    const { entries } = (await api('/activity?deploy=7')).json
    expect(entries).toMatchObject([
      {
        kind: 'deploy.live',
        by: 'ada',
        origin: null,
        app: 'gone',
        environment: 'test',
        release: 'v2',
        what: 'deploy 7 is live: v2 serves',
      },
      {
        by: 'ada',
        origin: 'cli 203.0.113.9',
        app: 'gone',
        environment: 'test',
        deploy: 7,
        what: 'asked for the deploy of abc to test: deploy 7',
      },
    ])
    expect((await api('/apps/gone/activity')).status).toBe(404)
  })

  it('is told of one app, and filtered by person, kind and environment, in pages', async () => {
    const { id: environmentId } = await server.environments.get('shop', 'test')
    for (let i = 0; i < 5; i += 1)
      await write({ kind: 'deploy.failed', appId: shop, environmentId, by: 'grace', data: { message: `m${i}` } })
    await write({ kind: 'push.received', appId: shop, by: 'ada' })
    await write({ kind: 'deploy.failed', by: 'grace', data: { message: 'of another app' } })
    const whats = async (query: string): Promise<string[]> =>
      (await api(`/apps/shop/activity?${query}`)).json.entries.map((entry: { what: string }) => entry.what)
    expect(await whats('by=grace&limit=2')).toEqual(['a deploy failed: m4', 'a deploy failed: m3'])
    const { next } = (await api('/apps/shop/activity?by=grace&limit=2')).json
    expect(await whats(`by=grace&limit=2&before=${next}`)).toEqual(['a deploy failed: m2', 'a deploy failed: m1'])
    expect(await whats('kind=push')).toEqual(['pushed '])
    expect(await whats('kind=push.received')).toHaveLength(1)
    const slip = await api('/apps/shop/activity?kind=pus')
    expect([slip.status, slip.json]).toEqual([
      400,
      expect.objectContaining({ detail: expect.stringContaining('“pus”') }),
    ])
    expect(await whats('environment=live')).toEqual([])
    expect(await whats('environment=test')).toHaveLength(5)
    for (const wrong of ['kind=%25', 'limit=0', 'before=x', 'by=%00', 'deploy=-1', 'nothing=1'])
      expect([wrong, (await api(`/apps/shop/activity?${wrong}`)).status]).toEqual([wrong, 400])
    expect((await httpCall('GET', `${server.url}/api/v1/activity`)).status).toBe(401)
  })

  it('can be had whole, an entry a line', async () => {
    for (let i = 0; i < 1_100; i += 100)
      await server.pool.transaction(async (tx) => {
        for (let j = i; j < i + 100; j += 1)
          await appendEvent(tx, { kind: 'deploy.failed', appId: shop, by: 'many', data: { message: `${j}` } })
      })
    const reply = await api('/apps/shop/activity?by=many', { headers: { accept: 'application/x-ndjson' } })
    expect(reply.headers['content-type']).toContain('application/x-ndjson')
    const lines = reply.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ what }) => what)).toEqual(
      Array.from({ length: 1_100 }, (_, i) => `a deploy failed: ${1_099 - i}`),
    )
  })

  it('is followed without passing by what is committed late', async () => {
    const database = await createTestDatabase()
    const pool = makePool(database.connection, { logger: silentLogger, size: 5 })
    const over = new AbortController()
    const seen: string[] = []
    const activity = makeActivity({ db: pool, everyMs: 10 })
    const following = (async () => {
      for await (const { kind, cursor } of activity.follow(everything, { after: null, signal: over.signal })) {
        seen.push(kind)
        if (seen.length === 2) expect(cursor).toMatch(/^\d+-\d+$/)
      }
    })()
    const gate = Promise.withResolvers<void>()
    const written = Promise.withResolvers<void>()
    const late = pool.transaction(async (tx) => {
      await appendEvent(tx, { kind: 'late.one' })
      written.resolve()
      await gate.promise
    })
    await written.promise
    await pool.transaction((tx) => appendEvent(tx, { kind: 'early.one' }))
    await new Promise((done) => setTimeout(done, 100))
    expect(seen).not.toContain('late.one')
    gate.resolve()
    await late
    await eventually(() => seen.length === 2, 'both are seen')
    expect(seen).toEqual(['late.one', 'early.one'])
    over.abort()
    await following
    await pool.close()
    await database.drop()
  })

  it('is looked through once by whoever follows, also where nothing of it fits', async () => {
    const over = new AbortController()
    const begins: bigint[] = []
    const db = {
      query: <Row extends object>(sql: string, values?: readonly unknown[]) => {
        if (sql.includes('from events')) begins.push(BigInt(String(values?.[0])))
        return server.pool.query<Row>(sql, values)
      },
    }
    const nothing = { ...everything, by: 'nobody' }
    const following = (async () => {
      const entries = makeActivity({ db, everyMs: 10 }).follow(nothing, { after: null, signal: over.signal })
      for await (const entry of entries) expect(entry).toBeUndefined()
    })()
    await eventually(() => begins.length > 0, 'it looks')
    const first = begins[0] as bigint
    for (let n = 0; n < 5; n += 1) await write({ kind: 'early.one' })
    await eventually(() => (begins.at(-1) as bigint) >= first + 5n, 'it goes on behind what does not concern it')
    over.abort()
    await following
  })

  it('asks by index only', async () => {
    await server.pool.query(
      `insert into events (kind, app_id, environment, actor) select 'x.y', n % 500, 'test', 'p' || n % 100 from generate_series(1, 20000) n`,
    )
    await server.pool.query('analyze events')
    for (const where of [
      'app_id = 7',
      `app_id = 7 and environment = 'test'`,
      `actor = 'p7'`,
      'deploy_id = 7',
      'true',
    ]) {
      const rows = await server.pool.query<{ 'QUERY PLAN': string }>(
        `explain select * from events where ${where} order by id desc limit 50`,
      )
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      expect([where, /Seq Scan/.test(plan)]).toEqual([where, false])
    }
    const follow = await server.pool.query<{ 'QUERY PLAN': string }>(
      `explain select * from events where (xid, id) > ('1'::xid8, 0) and xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid, id limit 200`,
    )
    expect(follow.map((row) => row['QUERY PLAN']).join('\n')).toContain('events_in_order')
  })
})

describe('slipway activity', () => {
  let cli: Cli
  beforeAll(async () => {
    cli = await makeCli()
    expect((await cli.run(['login', server.url, '--token', server.token.reveal(), '-y'])).code).toBe(0)
  })
  afterAll(() => cli.remove())

  it('prints the newest below, and says how to go on', async () => {
    const shown = await cli.run(['activity', '-a', 'shop', '--by', 'grace', '-n', '2'])
    expect(
      shown.stdout
        .trim()
        .split('\n')
        .map((line) => line.replace(/^\S+ +/, '')),
    ).toEqual(['test  grace: a deploy failed: m3', 'test  grace: a deploy failed: m4'])
    expect(shown.stderr).toMatch(/Older: the same with --before \d+/)
    expect((await cli.run(['activity', '--all', '-e', 'test'])).code).toBe(2)
    for (const more of [[], ['--export'], ['-f']]) {
      const unknown = await cli.run(['activity', '--all', '--kind', 'nonsense', ...more])
      expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringMatching(/“nonsense”\.\n.*There are: app, /)])
    }
  })

  it('exports all as JSON lines', async () => {
    const all = await cli.run(['activity', '--all', '--export', '--by', 'many'])
    expect(all.stdout.trim().split('\n')).toHaveLength(1_100)
  })

  it('follows what is done from now on', async () => {
    const running = cli.start(['activity', '--all', '-f', '--json'])
    const writing = setInterval(() => void write({ kind: 'deploy.failed', appId: shop, by: 'linus' }), 200)
    await running.says('"by":"linus"').finally(() => clearInterval(writing))
    running.child.kill('SIGINT')
    expect((await running.result).code).toBe(130)
  })
})
