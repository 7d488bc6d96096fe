/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-call --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { type HttpCall, httpCall, type HttpReply } from '../support/http-call.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
  await server.environments.createApp('shop')
})
afterAll(() => server.remove())

const path = '/apps/shop/environments/test/vars'
const api = (method: string, below: string, call: HttpCall = {}): Promise<HttpReply> =>
  httpCall(method, `${server.url}/api/v1${below}`, { token: server.token.reveal(), ...call })

describe('variables over the API', () => {
  it('are set, listed masked, shown, and unset', async () => {
    const body = {
      set: [
        { name: 'PLAIN', value: ' a\n"$b"' },
        { name: 'HIDDEN', value: 'never-to-be-seen', secret: true },
        { name: '__proto__', value: 'a name, too', build: true },
      ],
    }
    const made = await api('PATCH', path, { body })
    expect([made.status, made.json]).toEqual([200, { version: 1, set: ['PLAIN', 'HIDDEN', '__proto__'], unset: [] }])
    expect(made.headers['etag']).toBe('"1"')
    const listed = await api('GET', path)
    expect(listed.headers['etag']).toBe('"1"')
    expect(listed.json.variables.map((v: { name: string; value: unknown }) => [v.name, v.value])).toEqual([
      ['HIDDEN', null],
      ['PLAIN', null],
      ['__proto__', null],
    ])
    const values = await api('GET', `${path}?values=true`)
    expect(values.json.variables.map((v: { value: unknown }) => v.value)).toEqual([null, ' a\n"$b"', 'a name, too'])
    expect(values.text).not.toContain('never-to-be-seen')
    expect((await api('GET', `${path}/PLAIN`)).json).toMatchObject({
      value: ' a\n"$b"',
      version: 1,
      changedBy: 'admin',
    })
    const hidden = await api('GET', `${path}/HIDDEN`)
    expect([hidden.status, hidden.json.code]).toEqual([403, 'not_allowed'])
    expect((await api('GET', `${path}/MISSING`)).status).toBe(404)
    const gone = await api('PATCH', path, { body: { unset: [{ name: 'PLAIN' }, { name: '__proto__' }] } })
    expect(gone.json).toEqual({ version: 2, set: [], unset: ['PLAIN', '__proto__'] })
  })

  it('change only what they are based on: by If-Match for all, by ifVersion for one', async () => {
    const set = (value: string, extra: object = {}) => ({ set: [{ name: 'RACE', value, ...extra }] })
    const first = await api('PATCH', path, { body: set('1') })
    const etag = String(first.headers['etag'])
    const second = await api('PATCH', path, { body: set('2'), headers: { 'if-match': etag } })
    expect(second.status).toBe(200)
    const late = await api('PATCH', path, { body: set('3'), headers: { 'if-match': etag } })
    expect([late.status, late.json.code]).toEqual([409, 'conflict'])
    const one = await api('PATCH', path, { body: set('3', { ifVersion: null }) })
    expect(one.status).toBe(409)
    expect((await api('PATCH', path, { body: set('3'), headers: { 'if-match': 'W/x' } })).status).toBe(400)
    expect((await api('GET', `${path}/RACE`)).json.value).toBe('2')
  })

  it('are refused in words when they cannot be', async () => {
    const cases: [number, unknown][] = [
      [400, {}],
      [400, { set: {} }],
      [400, { set: [{ name: 'A' }] }],
      [400, { set: [{ name: 'A', value: 1 }] }],
      [400, { set: [{ name: 'A=B', value: '' }] }],
      [400, { set: [{ name: 'A', value: 'x\u0000' }] }],
      [400, { set: [{ name: 'A', value: '\ud800' }] }],
      [400, { set: [{ name: 'A', value: '' }], unset: [{ name: 'A' }] }],
      [404, { unset: [{ name: 'NOT_THERE' }] }],
      [413, { set: [{ name: 'A', value: 'x'.repeat(64 * 1024 + 1) }] }],
      [413, { set: [{ name: 'A', value: 'x'.repeat(1024 * 1024) }] }],
    ]
    for (const [status, body] of cases) {
      const refused = await api('PATCH', path, { body })
      expect([JSON.stringify(body).slice(0, 80), refused.status]).toEqual([JSON.stringify(body).slice(0, 80), status])
      expect(refused.json.detail).toMatch(/\S/)
    }
    expect(JSON.stringify(server.logged)).not.toContain('never-to-be-seen')
  })

  it('are described', async () => {
    const { paths } = (await api('GET', '/openapi.json')).json
    const { patch } = paths['/apps/{app}/environments/{environment}/vars']
    expect(patch.parameters.map((p: { name: string }) => p.name)).toEqual(['app', 'environment', 'If-Match'])
    expect(patch.responses['200'].headers).toHaveProperty('ETag')
  })
})
