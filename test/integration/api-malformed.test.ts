import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { httpCall, rawCall } from '../support/http-call.ts'

let server: ApiServer
let port: number
let auth: string
beforeAll(async () => {
  server = await startApiServer({ bodyMs: 400, bodyBytes: 10_000 })
  port = Number(new URL(server.url).port)
  auth = `Host: slipway.localhost\r\nAuthorization: Bearer ${server.token.reveal()}\r\n`
})
afterAll(() => server.remove())

const json = 'Content-Type: application/json\r\n'
const post = (headers: string, body: string): string =>
  `POST /api/v1/apps HTTP/1.1\r\n${auth}${headers}Connection: close\r\n\r\n${body}`
const sized = (body: string, headers = json): string =>
  post(`${headers}Content-Length: ${Buffer.byteLength(body)}\r\n`, body)
const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${auth}Connection: close\r\n\r\n`

/** What is sent, and the status that must come back; `null`: the connection is closed without one. */
const cases: [string, () => string | Buffer, number | null][] = [
  ['no HTTP at all', () => 'hello\r\n\r\n', 400],
  ['bytes', () => Buffer.from([0, 255, 13, 10, 13, 10]), 400],
  ['TLS', () => Buffer.from('16030100a5010000a10303', 'hex'), 400],
  ['no host', () => 'GET / HTTP/1.1\r\n\r\n', 400],
  ['a space before the colon', () => `GET / HTTP/1.1\r\nHost : x\r\n\r\n`, 400],
  ['a header without a name', () => `GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n`, 400],
  ['NUL in a header', () => `GET / HTTP/1.1\r\nHost: x\r\nA: b\u0000c\r\n\r\n`, 400],
  ['a lone CR in a header', () => `GET / HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n`, 400],
  ['headers of 64 KiB', () => `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(65_536)}\r\n\r\n`, 431],
  ['length and chunks', () => post(`${json}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`, '0\r\n\r\n'), 400],
  ['two lengths', () => post(`${json}Content-Length: 2\r\nContent-Length: 3\r\n`, '{}'), 400],
  ['a negative length', () => post(`${json}Content-Length: -1\r\n`, '{}'), 400],
  ['a length with a plus', () => post(`${json}Content-Length: +2\r\n`, '{}'), 400],
  ['a chunk of no size', () => post(`${json}Transfer-Encoding: chunked\r\n`, 'zz\r\n{}\r\n0\r\n\r\n'), 400],
  ['an unknown transfer coding', () => post(`${json}Transfer-Encoding: gzip\r\n`, '{}'), 400],
  ['half a body', () => post(`${json}Content-Length: 50\r\n`, '{"name":'), 400],
  ['JSON that stops', () => sized('{"name":"x"'), 400],
  ['JSON with a comma too many', () => sized('{"name":"x",}'), 400],
  ['a string', () => sized('"shop"'), 400],
  ['null', () => sized('null'), 400],
  ['a list', () => sized('["shop"]'), 400],
  ['a number as the name', () => sized('{"name":5}'), 400],
  ['an unknown field', () => sized('{"name":"shop","role":"admin"}'), 400],
  ['__proto__', () => sized('{"name":"shop","__proto__":{"admin":true}}'), 400],
  ['depth', () => sized(`{"name":${'['.repeat(4_000)}${']'.repeat(4_000)}}`), 400],
  ['a form', () => sized('name=shop', 'Content-Type: application/x-www-form-urlencoded\r\n'), 415],
  ['no type', () => sized('{"name":"shop"}', ''), 415],
  ['a type like JSON', () => sized('{"name":"shop"}', 'Content-Type: text/json\r\n'), 415],
  ['compressed', () => sized('{"name":"shop"}', `${json}Content-Encoding: gzip\r\n`), 400],
  ['another charset', () => sized('{"name":"shop"}', 'Content-Type: application/json; charset=utf-7\r\n'), 415],
  ['a body over the limit', () => sized(`{"name":"${'a'.repeat(20_000)}"}`), 413],
  ['an announced body over the limit', () => post(`${json}Content-Length: 99999999999\r\n`, '{'), 413],
  ['a bad escape in the path', () => get('/api/v1/apps/%zz'), 400],
  ['half a character in the path', () => get('/api/v1/apps/%c3%28'), 400],
  ['NUL in the path', () => get('/api/v1/apps/%00'), 400],
  ['the root outside', () => get('/../../etc/passwd'), 404],
  ['dots inside', () => get('/api/v1/apps/..%2F..%2Fetc%2Fpasswd'), 404],
  ['two slashes', () => get('//api/v1/apps'), 404],
  ['a query that is a list', () => get('/api/v1/apps?x[]=1'), 400],
  ['an unknown query', () => get('/api/v1/apps?x=1'), 400],
  ['a path of 20 KB', () => get(`/${'a'.repeat(20_000)}`), 431],
  ['an unknown method', () => `BREW / HTTP/1.1\r\n${auth}\r\n`, 400],
  ['CONNECT', () => `CONNECT example.org:443 HTTP/1.1\r\n${auth}\r\n`, null],
  ['TRACE', () => `TRACE /api/v1/apps HTTP/1.1\r\n${auth}Connection: close\r\n\r\n`, 405],
  [
    'an upgrade',
    () => `GET /api/v1/apps HTTP/1.1\r\n${auth}Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n`,
    200,
  ],
]

describe('malformed requests', () => {
  it.each(cases)('%s', async (_name, bytes, status) => {
    const answer = await rawCall(port, bytes(), 10_000)
    const found = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]
    expect(found === undefined ? null : Number(found)).toBe(status)
    expect(answer).not.toMatch(/node_modules|\.ts:|at .*\(|SyntaxError|TypeError|ZodError/)
    expect(answer.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0).toBeLessThanOrEqual(1)
  })

  it('leave the server well, and nothing made or logged as its own fault', async () => {
    const apps = await httpCall('GET', `${server.url}/api/v1/apps`, { token: server.token.reveal() })
    expect(apps.json).toEqual({ apps: [] })
    expect(server.logged.filter((line) => line.message !== 'request')).toEqual([])
  })
})
