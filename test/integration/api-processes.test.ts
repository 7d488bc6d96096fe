/* eslint-disable @typescript-eslint/no-unsafe-member-access --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { startApiServer, type ApiServer } from '../support/api-server.ts'
import { httpCall, type HttpCall } from '../support/http-call.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
  await api('POST', '/apps', { body: { name: 'shop' } })
})
afterAll(() => server.remove())

const api = (method: string, path: string, call: HttpCall = {}) =>
  httpCall(method, `${server.url}/api/v1${path}`, { token: server.token.reveal(), ...call })
const live = '/apps/shop/environments/live'

describe('the processes of an environment', () => {
  it('are scaled by one of two who had seen the same; the other is told', async () => {
    const seen = await api('GET', `${live}/processes`)
    const version = seen.json.version as number
    expect([seen.status, seen.headers['etag']]).toEqual([200, `"${version}"`])
    const headers = { 'if-match': `"${version}"` }
    const first = await api('PATCH', `${live}/processes`, { headers, body: { processes: { web: 3 } } })
    expect([first.status, first.json.version, first.headers['etag']]).toEqual([200, version + 1, `"${version + 1}"`])
    const second = await api('PATCH', `${live}/processes`, { headers, body: { processes: { web: 2 } } })
    expect([second.status, second.json.code]).toEqual([409, 'conflict'])
    const third = await api('PATCH', `${live}/processes`, { body: { processes: { web: 2 } } })
    expect([third.status, third.json.version]).toEqual([200, version + 2])
    const odd = await api('PATCH', `${live}/processes`, { headers: { 'if-match': 'W/7' }, body: { processes: {} } })
    expect(odd.status).toBe(400)
    // Whoever changes the environment with what they had seen before hears of it, too.
    expect((await api('PATCH', live, { headers, body: { deployOnPush: true } })).status).toBe(409)
  })

  it('of what was never deployed are neither started anew nor scaled at once', async () => {
    const restart = await api('POST', `${live}/restarts`)
    expect([restart.status, restart.json.code]).toEqual([409, 'conflict'])
    const now = await api('PATCH', `${live}/processes`, { body: { processes: { web: 4 }, now: true } })
    expect([now.status, now.json.code]).toEqual([409, 'conflict'])
    expect(await server.pool.query('select instances from scales')).toEqual([{ instances: 2 }])
  })
})
