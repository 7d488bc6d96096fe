/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-argument --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { SlipwayError } from '../../src/kernel/errors.ts'
import { type ApiServer, otherCommit, someCommit, startApiServer } from '../support/api-server.ts'
import { type HttpCall, httpCall, type HttpReply } from '../support/http-call.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
})
afterAll(() => server.remove())

const api = (method: string, path: string, call: HttpCall = {}): Promise<HttpReply> =>
  httpCall(method, `${server.url}/api/v1${path}`, { token: server.token.reveal(), ...call })

async function eventually(done: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await done()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error('not in time')
  }
}

async function createShop(name: string): Promise<void> {
  expect((await api('POST', '/apps', { body: { name } })).status).toBe(201)
}

describe('apps', () => {
  it('are created with test and live, listed and shown', async () => {
    const made = await api('POST', '/apps', { body: { name: 'shop' } })
    expect(made.status).toBe(201)
    expect(made.headers['location']).toBe('/api/v1/apps/shop')
    const shown = await api('GET', '/apps/shop')
    expect(shown.json).toEqual(made.json)
    expect(shown.json).toMatchObject({ name: 'shop', defaultBranch: null, gitUrl: `${server.url}/shop.git` })
    expect(shown.json.environments.map((e: { label: string }) => e.label)).toEqual(['test--shop', 'shop'])
    const listed = await api('GET', '/apps')
    expect(listed.json.apps.map((app: { name: string }) => app.name)).toContain('shop')
  })

  it('start with the environments that are named', async () => {
    const body = { name: 'stages', environments: ['development', 'staging', 'production'] }
    const made = await api('POST', '/apps', { body })
    expect(made.json.environments.map((e: { label: string }) => e.label)).toEqual([
      ...['development--stages', 'staging--stages', 'stages'],
    ])
    for (const environments of [[], ['a', 'a'], ['a b'], 'a', Array(11).fill('a')]) {
      expect((await api('POST', '/apps', { body: { name: 'none', environments } })).status).toBe(400)
    }
  })

  it('a taken name is a conflict, a bad or reserved name a mistake', async () => {
    await createShop('taken')
    const again = await api('POST', '/apps', { body: { name: 'taken' } })
    expect([again.status, again.json.code]).toEqual([409, 'conflict'])
    for (const name of ['Shop', 'a--b', 'v12', 'git', '-x', '../etc', 'x'.repeat(31), '']) {
      const refused = await api('POST', '/apps', { body: { name } })
      expect([name, refused.status, refused.json.code]).toEqual([name, 400, 'bad_request'])
    }
  })

  it('an unknown app is 404 with what to do', async () => {
    const missing = await api('GET', '/apps/nothing')
    expect(missing.status).toBe(404)
    expect(missing.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(missing.json).toMatchObject({
      code: 'not_found',
      status: 404,
      hint: expect.stringContaining('slipway apps create NAME'),
    })
    expect((await api('GET', '/apps/nothing/environments')).status).toBe(404)
    expect((await api('GET', '/apps/..%2f..%2fetc')).status).toBe(404)
  })
})

describe('the default branch of an app', () => {
  it('can be chosen, and a branch that cannot be is refused', async () => {
    await createShop('chooser')
    const set = await api('PATCH', '/apps/chooser', { body: { defaultBranch: 'trunk' } })
    expect(set.json).toMatchObject({ defaultBranch: 'trunk', environments: [{ followedBranch: 'trunk' }, {}] })
    expect((await api('PATCH', '/apps/chooser', { body: { defaultBranch: '--x' } })).status).toBe(400)
    expect((await api('PATCH', '/apps/chooser', { body: {} })).status).toBe(400)
    expect((await api('PATCH', '/apps/nobody', { body: { defaultBranch: 'main' } })).status).toBe(404)
    expect((await api('GET', '/apps/chooser')).json.defaultBranch).toBe('trunk')
  })
})

describe('environments', () => {
  it('are added, and it is told whether their branch is there', async () => {
    await createShop('adds')
    server.tips.set('adds/next', someCommit)
    const added = await api('POST', '/apps/adds/environments', { body: { name: 'qa', branch: 'next' } })
    expect([added.status, added.headers['location']]).toEqual([201, '/api/v1/apps/adds/environments/qa'])
    expect(added.json).toMatchObject({ name: 'qa', branch: 'next', branchIsThere: true, state: 'active', version: 1 })
    const later = await api('PATCH', '/apps/adds/environments/qa', { body: { branch: 'later' } })
    expect(later.json).toMatchObject({ branch: 'later', branchIsThere: false, version: 2 })
    expect((await api('POST', '/apps/adds/environments', { body: { name: 'qa' } })).status).toBe(409)
    expect((await api('POST', '/apps/adds/environments', { body: { name: 'q\u0430' } })).status).toBe(400)
    expect((await api('POST', '/apps/nobody/environments', { body: { name: 'qa' } })).status).toBe(404)
    expect((await api('POST', '/apps/adds/environments', { body: { name: 'x', from: 'y' } })).status).toBe(404)
  })

  it('are removed: what runs is waited for or ended; test and live stay, and so does what is not there', async () => {
    await createShop('goes')
    await api('POST', '/apps/goes/environments', { body: { name: 'qa' } })
    server.tips.set('goes/main', someCommit)
    await api('PATCH', '/apps/goes', { body: { defaultBranch: 'main' } })
    const { id } = (await api('POST', '/apps/goes/environments/qa/deploys')).json
    const removed = await api('DELETE', '/apps/goes/environments/qa')
    expect([removed.status, removed.headers['location'], removed.json]).toEqual([
      ...[202, '/api/v1/apps/goes/environments/qa', { waitsFor: [id] }],
    ])
    expect((await api('GET', '/apps/goes/environments/qa')).json.state).toBe('removing')
    expect((await api('PATCH', '/apps/goes/environments/qa', { body: { held: true } })).status).toBe(409)
    expect((await api('DELETE', '/apps/goes/environments/qa?cancel=true')).status).toBe(202)
    await eventually(async () => (await api('GET', '/apps/goes/environments/qa')).status === 404)
    for (const [path, status] of [
      ['environments/test', 409],
      ['environments/live', 409],
      ['environments/qa', 404],
      ['environments/test?cancel=perhaps', 400],
    ] as const) {
      expect([path, (await api('DELETE', `/apps/goes/${path}`)).status]).toEqual([path, status])
    }
    expect((await api('DELETE', '/apps/goes')).json).toEqual({ waitsFor: [] })
    await eventually(async () => (await api('GET', '/apps/goes')).status === 404)
    expect((await api('DELETE', '/apps/goes')).status).toBe(404)
  })

  it('are stopped and started, which is a deploy', async () => {
    await createShop('halts')
    const { id } = await server.environments.get('halts', 'test')
    const stopped = await api('POST', '/apps/halts/environments/test/stop')
    expect([stopped.status, stopped.json.name, server.deploys.stopped.at(-1)]).toEqual([200, 'test', id])
    const started = await api('POST', '/apps/halts/environments/test/start')
    expect([started.status, started.json.kind]).toEqual([202, 'start'])
    expect(started.headers['location']).toBe(`/api/v1/deploys/${started.json.id}`)
    expect((await api('POST', '/apps/halts/environments/none/stop')).status).toBe(404)
    expect((await api('POST', '/apps/halts/environments/test/stop', { body: { now: true } })).status).toBe(400)
  })

  it('are changed only as they were seen, when that is asked for', async () => {
    await createShop('seen')
    const path = '/apps/seen/environments/test'
    const change = (version: string, body: object) => api('PATCH', path, { body, headers: { 'if-match': version } })
    expect((await change('"1"', { held: true })).json).toMatchObject({ held: true, version: 2 })
    const late = await change('"1"', { branch: 'lost' })
    expect([late.status, late.json.code, late.json.detail]).toEqual([
      ...[
        409,
        'conflict',
        'test of seen was changed meanwhile: it is version 2 now, not 1. Nothing was changed by this.',
      ],
    ])
    expect((await change('*', { held: false })).json).toMatchObject({ held: false, branch: null, version: 3 })
    expect((await change('new', { held: true })).status).toBe(400)
  })

  it('take a branch of their own, which turns deploy-on-push on', async () => {
    await createShop('envs')
    const live = await api('PATCH', '/apps/envs/environments/live', { body: { branch: 'master' } })
    expect(live.json).toMatchObject({ branch: 'master', followedBranch: 'master', deployOnPush: true })
    const quiet = await api('PATCH', '/apps/envs/environments/live', {
      body: { branch: 'prod', deployOnPush: false, allowForcedPush: true },
    })
    expect(quiet.json).toMatchObject({ branch: 'prod', deployOnPush: false, allowForcedPush: true })
    const back = await api('PATCH', '/apps/envs/environments/live', { body: { branch: null } })
    expect(back.json).toMatchObject({ branch: null, followedBranch: null, deployOnPush: false })
    const now = (await api('GET', '/apps/envs/environments/live')).json
    expect({ ...now, branchIsThere: false }).toEqual(back.json)
  })

  it('refuse what is no change, no branch, or unknown, and say where', async () => {
    await createShop('envs-bad')
    const path = '/apps/envs-bad/environments/live'
    const cases: [unknown, string][] = [
      [{}, 'body'],
      [{ banana: 1 }, 'body'],
      [{ deployOnPush: 'yes' }, 'body.deployOnPush'],
      [{ branch: 7 }, 'body.branch'],
      [[], 'body'],
    ]
    for (const [body, where] of cases) {
      const refused = await api('PATCH', path, { body })
      expect([refused.status, refused.json.code]).toEqual([400, 'bad_request'])
      expect(refused.json.errors.map((e: { where: string }) => e.where)).toContain(where)
    }
    expect((await api('PATCH', path, { body: { branch: '../x' } })).status).toBe(400)
    const missing = await api('PATCH', '/apps/envs-bad/environments/stage', { body: { deployOnPush: true } })
    expect(missing.json).toMatchObject({ status: 404, hint: 'It has: test, live' })
  })
})

describe('deploys', () => {
  it('of the followed branch’s newest commit: 202, Location, the queue is woken', async () => {
    await createShop('line')
    await server.environments.change('line', 'test', { branch: 'develop' })
    const nothing = await api('POST', '/apps/line/environments/test/deploys')
    expect(nothing.json).toMatchObject({ status: 409, code: 'conflict', hint: 'Push first: git push <remote> develop' })

    server.tips.set('line/develop', someCommit)
    const before = server.deploys.woken()
    const first = await api('POST', '/apps/line/environments/test/deploys')
    expect(first.status).toBe(202)
    expect(first.headers['location']).toBe(`/api/v1/deploys/${first.json.id}`)
    expect(first.json).toMatchObject({
      commit: someCommit,
      branch: 'develop',
      state: 'waiting',
      ahead: 0,
      kind: 'deploy',
    })
    expect(first.json.requestedBy).toBe('admin')
    expect(server.deploys.woken()).toBeGreaterThan(before)

    const second = await api('POST', '/apps/line/environments/test/deploys', { body: { commit: 'C0FFEE1' } })
    expect(second.json).toMatchObject({ commit: otherCommit, ahead: 1 })
    const status = await api('GET', '/apps/line/environments/test/status')
    expect(status.json.line.map((d: { id: number; ahead: number }) => [d.id, d.ahead])).toEqual([
      [first.json.id, 0],
      [second.json.id, 1],
    ])
    const listed = await api('GET', '/apps/line/environments/test/deploys?limit=1')
    expect(listed.json.deploys.map((d: { id: number }) => d.id)).toEqual([second.json.id])
    const next = await api('GET', `/apps/line/environments/test/deploys?limit=1&before=${listed.json.next}`)
    expect(next.json.deploys.map((d: { id: number }) => d.id)).toEqual([first.json.id])
    expect((await api('GET', `/deploys/${first.json.id}`)).json).toMatchObject({ id: first.json.id, app: 'line' })
  })

  it('refuse commits that are none, unknown or not one', async () => {
    await createShop('commits')
    const deploy = (commit: unknown) => api('POST', '/apps/commits/environments/test/deploys', { body: { commit } })
    for (const bad of ['', '--help', 'HEAD~1', 'a..b', 'a b', 7, 'z'.repeat(221)]) {
      expect([bad, (await deploy(bad)).status]).toEqual([bad, 400])
    }
    for (const unknown of ['deadbeef', 'abc', 'main', 'z'.repeat(40)]) {
      expect([unknown, (await deploy(unknown)).status]).toEqual([unknown, 404])
    }
    expect((await deploy('c0ffee')).status).toBe(409)
    expect((await deploy('c0ffee0')).status).toBe(202)
  })

  it('are cancelled; too late is a conflict', async () => {
    await createShop('cancels')
    const deploy = await api('POST', '/apps/cancels/environments/test/deploys', { body: { commit: someCommit } })
    const cancelled = await api('POST', `/deploys/${deploy.json.id}/cancellation`)
    expect([cancelled.status, cancelled.json.state]).toEqual([202, 'cancelled'])
    expect((await api('POST', `/deploys/${deploy.json.id}/cancellation`)).status).toBe(409)
    expect((await api('POST', '/deploys/999999/cancellation')).status).toBe(404)
    for (const id of ['0', '-1', 'abc', '1e3', '9'.repeat(30), '%00']) {
      expect([id, (await api('GET', `/deploys/${id}`)).status]).toEqual([id, 400])
    }
  })
})

describe('status', () => {
  it('tells what runs, since when, its instances and the last deploy', async () => {
    await createShop('stat')
    const empty = await api('GET', '/apps/stat/status')
    expect(empty.json.environments).toHaveLength(2)
    expect(empty.json.environments[0]).toMatchObject({ running: null, lastDeploy: null, line: [] })
    const { id } = await server.environments.get('stat', 'live')
    server.running.set(id, {
      release: 12,
      commit: someCommit,
      since: new Date('2026-01-02T03:04:05Z'),
      instances: [
        {
          name: 'v12.1',
          state: 'running',
          restarts: 0,
          startedAt: new Date('2026-01-02T03:04:00Z'),
          use: null,
          crash: null,
        },
        {
          name: 'v12.2',
          state: 'crashed',
          restarts: 3,
          startedAt: null,
          use: null,
          crash: {
            since: new Date('2026-01-02T03:05:00Z'),
            exitCode: 137,
            outOfMemory: true,
            startError: null,
            isLoop: true,
          },
        },
      ],
    })
    const live = await api('GET', '/apps/stat/environments/live/status')
    expect(live.json.running).toMatchObject({ release: 'v12', commit: someCommit, health: 'partly' })
    expect(live.json.running.instances[1]).toEqual({
      name: 'v12.2',
      state: 'crashed',
      restarts: 3,
      startedAt: null,
      use: null,
      crash: { since: '2026-01-02T03:05:00.000Z', exitCode: 137, outOfMemory: true, startError: null, isLoop: true },
    })
    expect(live.json.environment.url).toMatch(/^http:\/\/stat\.localhost:/)
  })
})

describe('who may', () => {
  it('every route of the description refuses strangers with 401 and a challenge, whatever they ask for', async () => {
    const description = await httpCall('GET', `${server.url}/api/v1/openapi.json`)
    const calls = Object.entries(description.json.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method.toUpperCase(), path.replace(/\{[a-z]+\}/gi, '1')] as const),
    )
    expect(calls.length).toBeGreaterThanOrEqual(14)
    for (const [method, path] of calls) {
      const tokens = [undefined, 'slw_wrong', ' ', `${server.token.reveal()}x`, server.token.reveal().slice(0, -1)]
      for (const token of tokens) {
        const url = `${server.url}/api/v1${path}`
        const refused = await httpCall(method, url, token === undefined ? {} : { token })
        expect([method, path, refused.status, refused.json.code]).toEqual([method, path, 401, 'not_signed_in'])
        expect(refused.headers['www-authenticate']).toMatch(/^Bearer/)
      }
    }
  })

  it('a token in the address or in another scheme is none', async () => {
    const token = server.token.reveal()
    expect((await httpCall('GET', `${server.url}/api/v1/apps?token=${token}`)).status).toBe(401)
    const basic = `Basic ${Buffer.from(`x:${token}`).toString('base64')}`
    expect((await httpCall('GET', `${server.url}/api/v1/apps`, { headers: { authorization: basic } })).status).toBe(401)
    expect(JSON.stringify(server.logged)).not.toContain(token)
  })

  it('a role without rights is refused by the policy on every route: 403', async () => {
    const powerless = 'slw_a-token-that-belongs-to-somebody-without-rights'
    await server.pool.query('alter table tokens drop constraint tokens_role_check')
    await server.pool.query(
      `insert into tokens (name, hash, role) values ('visitor', sha256($1::text::bytea), 'visitor')`,
      [powerless],
    )
    await createShop('private')
    const deploy = await api('POST', '/apps/private/environments/test/deploys', { body: { commit: someCommit } })
    const description = await httpCall('GET', `${server.url}/api/v1/openapi.json`)
    for (const [template, methods] of Object.entries(description.json.paths as Record<string, object>)) {
      const path = template
        .replace('{app}', 'private')
        .replace('{environment}', 'test')
        .replace('{release}', 'v1')
        .replace('{name}', 'KEY')
        .replace('{id}', String(deploy.json.id))
      for (const method of Object.keys(methods)) {
        const refused = await httpCall(method.toUpperCase(), `${server.url}/api/v1${path}`, { token: powerless })
        expect([method, path, refused.status, refused.json.code]).toEqual([method, path, 403, 'not_allowed'])
      }
    }
    expect((await httpCall('GET', `${server.url}/metrics`, { token: powerless })).status).toBe(403)
  })
})

describe('beside the API', () => {
  it('alive, ready, and not ready with the reason', async () => {
    expect((await httpCall('GET', `${server.url}/healthz`)).json).toEqual({ status: 'alive' })
    expect((await httpCall('GET', `${server.url}/readyz`)).status).toBe(200)
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    server.readiness.fails = new SlipwayError('unavailable', 'The engine has no room.')
    const not = await httpCall('GET', `${server.url}/readyz`)
    expect(not.status).toBe(503)
    expect(not.json.checks).toEqual([
      { name: 'database', ok: true },
      { name: 'engine', ok: false, reason: 'The engine has no room.' },
    ])
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    server.readiness.fails = new Error('connect ENOENT /secret/place')
    expect((await httpCall('GET', `${server.url}/readyz`)).text).not.toContain('secret')
    server.readiness.fails = null
  })

  it('metrics want a token and count deploys by state', async () => {
    expect((await httpCall('GET', `${server.url}/metrics`)).status).toBe(401)
    const metrics = await httpCall('GET', `${server.url}/metrics`, { token: server.token.reveal() })
    expect(metrics.text).toMatch(/^slipway_deploys\{state="waiting"\} \d+$/m)
    expect(metrics.text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(metrics.text).toMatch(/^slipway_info\{version="9\.9\.9"\} 1$/m)
  })

  it('a page for people and plain 404s, with strict headers, no cookie, no CORS, no framework name', async () => {
    const pages = ['/', '/nothing', '/healthz', '/api/v1/nothing', '/api/v1/openapi.json']
    for (const path of pages) {
      const page = await httpCall('GET', server.url + path, { headers: { origin: 'https://evil.example' } })
      expect(page.headers).toMatchObject({
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      })
      expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'")
      for (const header of ['set-cookie', 'x-powered-by', 'access-control-allow-origin', 'etag']) {
        expect(page.headers[header]).toBeUndefined()
      }
    }
    expect((await httpCall('GET', `${server.url}/`)).text).toContain('version 9.9.9')
    expect((await httpCall('GET', `${server.url}/nothing`)).text).toBe('Not found.\n')
    expect((await api('GET', '/nothing')).json.code).toBe('not_found')
    const wrong = await api('DELETE', '/apps')
    expect([wrong.status, wrong.headers['allow'], wrong.json.code]).toEqual([405, 'GET, POST', 'method_not_allowed'])
    expect(
      (await httpCall('OPTIONS', `${server.url}/api/v1/apps`)).headers['access-control-allow-methods'],
    ).toBeUndefined()
  })

  it('Git’s paths go to Git before anything reads the body', async () => {
    const body = 'x'.repeat(2_000_000)
    const pushed = await httpCall('POST', `${server.url}/shop.git/git-receive-pack?x=1`, { body })
    expect([pushed.status, pushed.text]).toEqual([200, 'git\n'])
    expect(server.gitPaths).toContain('POST /shop.git/git-receive-pack?x=1')
    // A name with a slash too: Git says what is wrong with it.
    await httpCall('GET', `${server.url}/a/b.git/info/refs`)
    expect(server.gitPaths).toContain('GET /a/b.git/info/refs')
    await httpCall('GET', `${server.url}/api/v1/apps/b.git/info/refs`)
    expect(server.gitPaths.filter((path) => path.includes('/api/'))).toEqual([])
  })

  it('an inner error says nothing but its number, which is in the log', async () => {
    await server.pool.query('alter table apps rename to apps_away')
    try {
      const failed = await api('GET', '/apps')
      expect([failed.status, failed.json.code]).toEqual([500, 'internal'])
      expect(failed.text).not.toMatch(/apps_away|relation|select/)
      expect(failed.json.hint).toContain(failed.json.requestId)
      const logged = server.logged.find((line) => line.fields['requestId'] === failed.json.requestId)
      expect(String(logged?.fields['error'])).toContain('apps')
    } finally {
      await server.pool.query('alter table apps_away rename to apps')
    }
  })
})

describe('the description', () => {
  it('is OpenAPI 3.1 and fits what the API really answers', async () => {
    const { json } = await httpCall('GET', `${server.url}/api/v1/openapi.json`)
    expect(json.openapi).toBe('3.1.0')
    const app = json.paths['/apps/{app}'].get
    expect(app.parameters).toEqual([expect.objectContaining({ name: 'app', in: 'path', required: true })])
    const schema = z.fromJSONSchema(app.responses['200'].content['application/json'].schema)
    await createShop('described')
    expect(schema.safeParse((await api('GET', '/apps/described')).json).success).toBe(true)
    expect(schema.safeParse({ name: 'described' }).success).toBe(false)
    const ids = Object.values(json.paths as Record<string, Record<string, { operationId: string }>>).flatMap(
      (methods) => Object.values(methods).map((one) => one.operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
    expect(Object.keys(json.paths['/deploys/{id}/log'].get.responses['200'].content)).toContain('text/event-stream')
  })
})
