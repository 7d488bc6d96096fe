/* eslint-disable @typescript-eslint/no-unsafe-member-access --
   answers are JSON of any shape here; what they must hold is what the tests say */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type ApiServer, someCommit, startApiServer } from '../support/api-server.ts'
import { openStream, type OpenStream } from '../support/event-reader.ts'
import { eventually, httpCall } from '../support/http-call.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer({ pingMs: 100, stallMs: 2_000, openStreams: 5 })
  await server.environments.createApp('shop')
})
afterAll(() => server.remove())

async function newDeploy(): Promise<number> {
  const made = await httpCall('POST', `${server.url}/api/v1/apps/shop/environments/test/deploys`, {
    token: server.token.reveal(),
    body: { commit: someCommit },
  })
  return made.json.id as number
}

const open = (path: string, options: { headers?: Record<string, string>; read?: boolean } = {}): Promise<OpenStream> =>
  openStream(`${server.url}/api/v1${path}`, { token: server.token.reveal(), ...options })

const lineIds = (stream: OpenStream) => stream.events.filter((e) => e.event === 'line').map((e) => Number(e.id))

describe('the log of a deploy as an event stream', () => {
  it('gives what is there, then what comes, then the end with the deploy', async () => {
    const id = await newDeploy()
    server.deploys.write(id, 'step', 'Building')
    const stream = await open(`/deploys/${id}/log`)
    expect([stream.status, stream.type]).toEqual([200, 'text/event-stream; charset=utf-8'])
    await eventually(() => stream.events.length === 1, 'the first line')
    server.deploys.write(id, 'output', 'hello\u001b[1m\nid: 999\n\nevent: end')
    server.deploys.write(id, 'result', 'Live')
    server.deploys.end(id, 'live', { releaseNumber: 12 })
    await stream.ended
    expect(stream.events.map((e) => [e.id, e.event])).toEqual([
      ['1', 'line'],
      ['2', 'line'],
      ['3', 'line'],
      [null, 'end'],
    ])
    expect(stream.events[0]?.data).toMatchObject({ seq: 1, kind: 'step', text: 'Building', line: '-----> Building' })
    // Nothing that a build prints can make an event of its own.
    expect(stream.events[1]?.data).toMatchObject({ text: 'hello\u001b[1m\nid: 999\n\nevent: end' })
    expect(stream.events[3]?.data).toMatchObject({ id, state: 'live', release: 'v12' })
    expect(stream.bytes()).toMatch(/^retry: \d+\n\n/)
  })

  it('goes on after Last-Event-ID or ?after, without a gap and without repeating', async () => {
    const id = await newDeploy()
    for (let i = 1; i <= 1_234; i += 1) server.deploys.write(id, 'output', `line ${i}`)
    const first = await open(`/deploys/${id}/log`)
    await eventually(() => lineIds(first).length >= 700, '700 lines')
    first.close()
    const seen = lineIds(first)
    const second = await open(`/deploys/${id}/log?after=3`, { headers: { 'last-event-id': String(seen.at(-1)) } })
    server.deploys.end(id, 'failed', { error: { code: 'build_failed', message: 'no' } })
    await second.ended
    expect([...seen, ...lineIds(second)]).toEqual(Array.from({ length: 1_234 }, (_, i) => i + 1))
    const third = await open(`/deploys/${id}/log?after=1230`)
    await third.ended
    expect(lineIds(third)).toEqual([1_231, 1_232, 1_233, 1_234])
    for (const bad of ['x', '-1', '1.5', '9'.repeat(20)]) {
      const refused = await open(`/deploys/${id}/log`, { headers: { 'last-event-id': bad } })
      expect(refused.status).toBe(400)
      expect(
        (await httpCall('GET', `${server.url}/api/v1/deploys/${id}/log?after=${bad}`, { token: server.token.reveal() }))
          .status,
      ).toBe(400)
    }
  })

  it('pings while nothing happens', async () => {
    const stream = await open(`/deploys/${await newDeploy()}/log`)
    await eventually(() => (stream.bytes().match(/^: ping$/gm) ?? []).length >= 2, 'two pings')
    stream.close()
  })

  it('says come-back when the server stops, and goes on after its restart', async () => {
    const id = await newDeploy()
    server.deploys.write(id, 'step', 'one')
    const stream = await open(`/deploys/${id}/log`)
    await eventually(() => stream.events.length === 1, 'the first line')
    await server.stop()
    await stream.ended
    expect(stream.events.at(-1)).toMatchObject({ event: 'come-back' })
    server.deploys.write(id, 'step', 'two')
    await server.restart()
    const again = await open(`/deploys/${id}/log`, { headers: { 'last-event-id': '1' } })
    await eventually(() => again.events.length === 1, 'the second line')
    expect(again.events[0]).toMatchObject({ id: '2' })
    again.close()
  })

  it('a reader that stalls costs no memory and is cut off', async () => {
    const id = await newDeploy()
    for (let i = 0; i < 40_000; i += 1) server.deploys.write(id, 'output', 'x'.repeat(2_000))
    const before = process.memoryUsage.rss()
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    const token = server.token.reveal()
    socket.write(
      `GET /api/v1/deploys/${id}/log HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nAccept: text/event-stream\r\n\r\n`,
    )
    socket.pause()
    const untilOpen = async (count: string): Promise<void> => {
      const end = performance.now() + 30_000
      for (;;) {
        const { text } = await httpCall('GET', `${server.url}/metrics`, { token })
        // 80 MB of log (160 MB as events) stand ready; what is in flight is what the sockets hold.
        expect(process.memoryUsage.rss() - before).toBeLessThan(80 * 1024 * 1024)
        const open = /^slipway_open_streams (\d+)$/m.exec(text)?.[1]
        if (open === count) return
        if (performance.now() > end) throw new Error(`${open} streams are open, not ${count}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    await untilOpen('1')
    await untilOpen('0')
    socket.destroy()
  })

  it('too many at once are told to try again', async () => {
    const id = await newDeploy()
    const streams = await Promise.all(Array.from({ length: 5 }, () => open(`/deploys/${id}/log`)))
    const refused = await open(`/deploys/${id}/log`)
    expect([refused.status, refused.res.headers['retry-after']]).toEqual([503, '2'])
    for (const stream of streams) stream.close()
    server.deploys.end(id, 'cancelled')
  })
})

describe('the log of a deploy as text', () => {
  it('is what there is; with follow it goes on until the end', async () => {
    const id = await newDeploy()
    server.deploys.write(id, 'step', 'Building')
    server.deploys.write(id, 'output', 'a\tb')
    server.deploys.write(id, 'error', 'No')
    const call = { token: server.token.reveal() }
    const now = await httpCall('GET', `${server.url}/api/v1/deploys/${id}/log`, call)
    expect(now.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(now.text).toBe('-----> Building\n       a\tb\n !     No\n')
    expect((await httpCall('GET', `${server.url}/api/v1/deploys/${id}/log?after=2`, call)).text).toBe(' !     No\n')
    const following = httpCall('GET', `${server.url}/api/v1/deploys/${id}/log?follow=true&after=2`, call)
    setTimeout(() => {
      server.deploys.write(id, 'machine', `slipway: deploy=${id} status=failed`)
      server.deploys.end(id, 'failed')
    }, 100)
    expect((await following).text).toBe(` !     No\nslipway: deploy=${id} status=failed\n`)
    expect((await httpCall('HEAD', `${server.url}/api/v1/deploys/${id}/log?follow=true`, call)).status).toBe(200)
  })
})

describe('logs of the instances', () => {
  it('tail, follow, resume; control characters never leave', async () => {
    for (let i = 1; i <= 5; i += 1) {
      server.runtimeLines.push({ ...printed, cursor: `c${i}`, text: `line ${i}` })
    }
    server.runtimeLines.push({ ...printed, cursor: 'c6', text: '\u001b]52;c;aGk=\u0007\u001b[31mred' })
    const url = `${server.url}/api/v1/apps/shop/environments/test/logs`
    const text = await httpCall('GET', `${url}?tail=2`, { token: server.token.reveal() })
    expect(text.text).toBe('v1 web.1 | line 5\nv1 web.1 | ^[]52;c;aGk=^G\u001b[31mred\u001b[0m\n')
    const stream = await open('/apps/shop/environments/test/logs?tail=3', { headers: { 'last-event-id': 'c4' } })
    await eventually(() => stream.events.length === 2, 'two lines')
    server.runtimeLines.push({ ...printed, cursor: 'c7', release: 'v2', text: 'new release' })
    await eventually(() => stream.events.length === 3, 'the third')
    expect(stream.events.map((e) => e.id)).toEqual(['c5', 'c6', 'c7'])
    stream.close()
    const once = await open('/apps/shop/environments/test/logs?tail=1&follow=false')
    await once.ended
    expect(once.events.map((e) => e.event)).toEqual(['line', 'end'])
    for (const query of ['tail=x', 'tail=10001', 'follow=yes', 'since=1', 'source=db', 'release=0', 'tail=1&tail=2']) {
      const refused = await httpCall('GET', `${url}?${query}`, { token: server.token.reveal() })
      expect([query, refused.status]).toEqual([query, 400])
    }
    for (const [process, status] of [
      ...['worker', 'worker.2', 'cron.clean-up', 'release.migrations', 'release.2'].map((name) => [name, 200]),
      ...['../..', 'worker.', '.2', 'cron.a.b', 'release.a-'].map((name) => [name, 400]),
    ]) {
      const asked = await httpCall('GET', `${url}?process=${process}`, { token: server.token.reveal() })
      expect([process, asked.status]).toEqual([process, status])
    }
    const bad = await open('/apps/shop/environments/test/logs', { headers: { 'last-event-id': 'a b' } })
    expect(bad.status).toBe(400)
  })
})

const printed = { at: new Date(0), source: 'app' as const, release: 'v1', instance: 'web.1' }
