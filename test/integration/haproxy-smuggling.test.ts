import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type RawBackend, startRawBackend } from '../support/raw-backend.ts'
import { sendRaw, startTestProxy, type TestProxy } from '../support/proxy.ts'

let proxy: TestProxy
let backend: RawBackend
beforeAll(async () => {
  proxy = await startTestProxy()
  backend = await startRawBackend()
  await proxy.router.defineSet('r1', [backend.target])
  await proxy.router.swap('e1', { set: 'r1', size: 1 })
  await proxy.router.addHost('a.example.org', 'e1')
})
afterAll(async () => {
  await backend.close()
  await proxy.remove()
})

const host = 'Host: a.example.org\r\n'
/** The request that must never be seen as one of its own. */
const hidden = `GET /hidden HTTP/1.1\r\n${host}\r\n`
const post = (headers: string, body: string, version = '1.1'): string =>
  `POST /outer HTTP/${version}\r\n${host}${headers}\r\n${body}`
const get = (headers: string, target = '/outer'): string => `GET ${target} HTTP/1.1\r\n${host}${headers}\r\n`
const noChunks = '0\r\n\r\n'

/** The proxy answers by itself, with this status; the backend sees nothing at all. */
const refused: Record<string, readonly [request: string, status: number]> = {
  'two lengths': [post(`Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n`, hidden), 400],
  'a list of lengths': [post(`Content-Length: 0, ${hidden.length}\r\n`, hidden), 400],
  'a length with a plus': [post('Content-Length: +2\r\n', 'hi'), 400],
  'a negative length': [post('Content-Length: -2\r\n', 'hi'), 400],
  'a hexadecimal length': [post('Content-Length: 0x2\r\n', 'hi'), 400],
  'an empty length (CVE-2023-40225)': [post('Content-Length: \r\n', hidden), 400],
  'a length beyond all numbers': [post('Content-Length: 99999999999999999999999\r\n', hidden), 400],
  'an unknown coding': [post('Transfer-Encoding: xchunked\r\n', noChunks + hidden), 400],
  'a coding before chunked': [post('Transfer-Encoding: gzip, chunked\r\n', noChunks + hidden), 422],
  'a coding after chunked': [post('Transfer-Encoding: chunked, identity\r\n', noChunks + hidden), 400],
  'identity with a length': [post('Transfer-Encoding: identity\r\nContent-Length: 2\r\n', 'hi'), 400],
  'chunked and identity': [
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', noChunks + hidden),
    400,
  ],
  'chunked twice': [post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', noChunks), 400],
  'a blank before the colon': [post('Transfer-Encoding : chunked\r\n', noChunks + hidden), 400],
  'a vertical tab before chunked': [
    post('Transfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n', noChunks + hidden),
    400,
  ],
  'a form feed after chunked': [
    post('Transfer-Encoding: chunked\x0c\r\nContent-Length: 5\r\n', noChunks + hidden),
    400,
  ],
  'chunks in HTTP/1.0': [post('Transfer-Encoding: chunked\r\n', noChunks + hidden, '1.0'), 400],
  'a chunk size with rubbish': [post('Transfer-Encoding: chunked\r\n', `2x\r\nhi\r\n${noChunks}`), 400],
  'a chunk size with 0x': [post('Transfer-Encoding: chunked\r\n', `0x2\r\nhi\r\n${noChunks}`), 400],
  'a chunk size beyond all numbers': [post('Transfer-Encoding: chunked\r\n', 'fffffffffffffffff2\r\nhi\r\n'), 400],
  'an empty header name (CVE-2023-25725)': [post(': x\r\nContent-Length: 2\r\n', 'hi'), 400],
  'an empty header name first': [`GET /outer HTTP/1.1\r\n: x\r\n${host}\r\n`, 400],
  'a folded first header': [`GET /outer HTTP/1.1\r\n x: y\r\n${host}\r\n`, 400],
  'a bare CR in a value': [get('X: a\rTransfer-Encoding: chunked\r\n'), 400],
  'two hosts': [get('Host: b.example.org\r\n'), 400],
  'two hosts in one header': ['GET /outer HTTP/1.1\r\nHost: a.example.org, b.example.org\r\n\r\n', 400],
  'a host with a blank': ['GET /outer HTTP/1.1\r\nHost: a.example.org b\r\n\r\n', 404],
  'a host with a user': ['GET /outer HTTP/1.1\r\nHost: x@a.example.org\r\n\r\n', 404],
  'a host with a path': ['GET /outer HTTP/1.1\r\nHost: a.example.org/x\r\n\r\n', 404],
  'no host': ['GET /outer HTTP/1.1\r\n\r\n', 404],
  'another host in the request line': [get('', 'http://slipway.example.org/outer'), 400],
  'a blank in the path': [get('', '/outer HTTP/1.1 /hidden'), 400],
  'a fragment (CVE-2023-45539)': [get('', '/outer#/hidden'), 400],
  'a control byte in the path': [get('', '/outer\x01'), 400],
  'a tunnel': [`CONNECT a.example.org:80 HTTP/1.1\r\n${host}\r\n`, 405],
  trace: [`TRACE /outer HTTP/1.1\r\n${host}\r\n`, 405],
  'no version': ['GET /outer\r\n\r\n', 400],
  'a header beyond the buffer': [get(`X: ${'a'.repeat(20_000)}\r\n`), 400],
  'too many headers': [get(Array.from({ length: 150 }, (_, i) => `x${i}: a\r\n`).join('')), 400],
  'a path beyond the buffer': [get('', `/${'a'.repeat(20_000)}`), 400],
}

/** These pass, made unambiguous: the backend sees exactly one request, with one framing. */
const passed: Record<string, readonly [request: string, body: string]> = {
  'length and chunks': [post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', noChunks + hidden), ''],
  'chunks and length': [post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', noChunks + hidden), ''],
  'the same length twice': [post('Content-Length: 2\r\nContent-Length: 2\r\n', 'hi'), 'hi'],
  'a tab before chunked': [post('Transfer-Encoding:\tchunked\r\n', `2\r\nhi\r\n${noChunks}`), 'hi'],
  'a folded coding and a length': [
    post('Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n', noChunks + hidden),
    '',
  ],
  'chunks with extensions': [post('Transfer-Encoding: chunked\r\n', `2;a=b\r\nhi\r\n${noChunks}`), 'hi'],
  'chunks with bare newlines': [post('Transfer-Encoding: chunked\r\n', '2\nhi\n0\n\n'), 'hi'],
  'a request with bare newlines': [`GET /outer HTTP/1.1\n${host.replace('\r', '')}\n`, ''],
  'a folded header': [get('X: a\r\n b\r\n'), ''],
  'a request in the body of a GET': [
    `GET /outer HTTP/1.1\r\n${host}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
    hidden,
  ],
  'the same host twice': [get(host), ''],
  'an upgrade to HTTP/2': [
    get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n'),
    '',
  ],
  'headers of the proxy named as hop-by-hop': [get('Connection: close, X-Forwarded-For, Host\r\n'), ''],
}

describe('requests that servers read differently', () => {
  it.each(Object.keys(refused))('refuses %s', async (name) => {
    const [request, status] = refused[name] ?? ['', 0]
    const answer = await sendRaw(proxy.port, request)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.[01] ${status} `))
    expect(answer.match(/^HTTP\/1/gm)).toHaveLength(1)
    expect(backend.take().bytes).toBe('')
  })

  it.each(Object.keys(passed))('makes one request of %s', async (name) => {
    const [request, body] = passed[name] ?? ['', '']
    const answer = await sendRaw(proxy.port, request)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer.match(/^HTTP\/1/gm)).toHaveLength(1)
    const { requests } = backend.take()
    expect(requests.map(({ line }) => line)).toEqual([`${request.slice(0, request.indexOf(' '))} /outer HTTP/1.1`])
    expect(requests[0]?.body).toBe(body)
    const names = requests[0]?.headers.map(([header]) => header) ?? []
    const framing = names.filter((header) => header === 'content-length' || header === 'transfer-encoding')
    expect(framing.length).toBeLessThanOrEqual(1)
    expect(names.filter((header) => header === 'host')).toHaveLength(1)
    expect(names).toContain('x-forwarded-for')
    expect(names).not.toContain('upgrade')
    expect(names).not.toContain('http2-settings')
    expect(requests[0]?.headers.find(([header]) => header === 'connection')?.[1] ?? '').not.toMatch(/forwarded|host/i)
  })
})
