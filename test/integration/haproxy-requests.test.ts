import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { chmod, chown, rm } from 'node:fs/promises'
import { Agent, createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import {
  ask,
  type Backend,
  controlHost,
  type Echoed,
  freePort,
  sendRaw,
  startBackend,
  startEcho,
  startTestProxy,
  type TestProxy,
} from '../support/proxy.ts'

const host = 'test--shop.example.org'
let proxy: TestProxy
let echo: Backend
const opened: Backend[] = []

beforeAll(async () => {
  proxy = await startTestProxy()
  echo = await keep(startEcho('one'))
  await route('e1', 1, [echo])
  await proxy.router.addHost(host, 'e1')
})
afterAll(async () => {
  await Promise.all(opened.map((backend) => backend.close()))
  await proxy.remove()
})

const keep = async (backend: Promise<Backend>): Promise<Backend> => {
  opened.push(await backend)
  return backend
}
const route = async (key: string, id: number, backends: readonly Backend[]): Promise<void> => {
  await proxy.router.defineSet(
    `r${id}`,
    backends.map(({ target }) => target),
  )
  await proxy.router.swap(key, { set: `r${id}`, size: backends.length })
}
/** A host of its own for one test. */
const hostFor = async (id: number, ...backends: Backend[]): Promise<string> => {
  await route(`e${id}`, id, backends)
  await proxy.router.addHost(`h${id}.example.org`, `e${id}`)
  return `h${id}.example.org`
}
const echoed = async (...args: Parameters<typeof ask> extends [number, ...infer R] ? R : never): Promise<Echoed> => {
  const answer = await ask(proxy.port, ...args)
  expect(answer.status).toBe(200)
  return JSON.parse(answer.body) as Echoed
}

describe('where a request goes', () => {
  it.each([host, `${host}:8080`, host.toUpperCase(), 'Test--Shop.Example.ORG:80'])(
    'to its environment: %s',
    async (name) => {
      expect((await echoed(name, { path: '/a?b=c' })).url).toBe('/a?b=c')
    },
  )

  it('by the address when the request line holds one', async () => {
    const answer = await sendRaw(proxy.port, `GET http://${host}/abs HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer).toContain('"/abs"')
  })

  it.each(['unknown.example.org', 'evil"><script>alert(1)</script>', '127.0.0.1', '', `x.${host}`])(
    'a plain page that repeats nothing for an unknown host: %j',
    async (name) => {
      const answer = await sendRaw(proxy.port, `GET /<b>reflected</b> HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
      expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
      expect(answer).toContain('There is no site at this address')
      expect(answer).not.toContain('script')
      expect(answer).not.toContain('reflected')
      expect(answer).not.toContain('shop')
    },
  )

  it('a page that says why for a route without instances', async () => {
    await proxy.router.addHost('state.example.org', 'e90')
    expect(await ask(proxy.port, 'state.example.org')).toMatchObject({
      status: 503,
      body: /Nothing is live here/ as never,
    })
  })

  it.each([
    ['failed', 'has crashed'],
    ['stopped', 'is stopped'],
    ['asleep', 'is asleep'],
  ] as const)('a page with Retry-After for a route that is %s', async (state, words) => {
    await proxy.router.addHost('state.example.org', 'e91')
    await proxy.router.swap('e91', { state })
    const answer = await ask(proxy.port, 'state.example.org')
    expect(answer.status).toBe(503)
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.body).toContain(words)
    expect((await ask(proxy.port, 'state.example.org', { method: 'HEAD' })).body).toBe('')
  })

  it('a page with Retry-After when nothing listens at the address', async () => {
    await proxy.router.defineSet('r92', [{ address: '127.0.0.1', port: await freePort() }])
    await proxy.router.swap('e92', { set: 'r92', size: 1 })
    await proxy.router.addHost('dead.example.org', 'e92')
    const answer = await ask(proxy.port, 'dead.example.org')
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('5')
    expect(answer.body).toContain('does not answer')
  })

  it('to each member of a set about as often', async () => {
    const members = await Promise.all(['a', 'b', 'c'].map((name) => keep(startEcho(name))))
    const spread = await hostFor(5, ...members)
    const counts = new Map<string, number>()
    const agent = new Agent({ keepAlive: true, maxSockets: 4 })
    await Promise.all(
      Array.from({ length: 300 }, async () => {
        const { name } = await echoed(spread, { agent })
        counts.set(name, (counts.get(name) ?? 0) + 1)
      }),
    )
    agent.destroy()
    expect([...counts.keys()].sort()).toEqual(['a', 'b', 'c'])
    for (const count of counts.values()) expect(count).toBeGreaterThan(50)
  })
})

describe('what the app is told', () => {
  it('says who asked, and believes no stranger', async () => {
    const { headers } = await echoed(`${host}:8080`, {
      headers: {
        'X-Forwarded-For': '6.6.6.6',
        X_Forwarded_For: '6.6.6.6',
        'X.Forwarded.For': '6.6.6.6',
        'X~Forwarded-For': '6.6.6.6',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'evil.example.com',
        'X-Forwarded-Port': '443',
        'X-Forwarded-Prefix': '/evil',
        Forwarded: 'for=6.6.6.6',
        'X-Real-IP': '6.6.6.6',
        'True-Client-IP': '6.6.6.6',
        'X-Original-URL': '/admin',
        'X-Rewrite-URL': '/admin',
        'X-Slipway-User': 'admin',
        x_slipway_user: 'admin',
        Proxy: 'http://evil',
        'X-Original-Filename': 'kept.txt',
        Authorization: 'kept',
        Cookie: 'a=1; b=2',
      },
    })
    expect(headers).toEqual({
      host: `${host}:8080`,
      authorization: 'kept',
      cookie: 'a=1; b=2',
      'x-original-filename': 'kept.txt',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': `${host}:8080`,
      'x-forwarded-port': String(proxy.port),
      'x-forwarded-proto': 'http',
    })
  })

  it('keeps what a trusted proxy says and appends its address', async () => {
    const trusting = await startTestProxy({ trustedProxies: ['10.0.0.0/8', '127.0.0.0/8'] })
    try {
      await trusting.router.defineSet('r1', [echo.target])
      await trusting.router.swap('e1', { set: 'r1', size: 1 })
      await trusting.router.addHost(host, 'e1')
      const said = {
        'X-Forwarded-For': '203.0.113.9',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'www.example.com',
        'X-Slipway-User': 'admin',
      }
      const { headers } = JSON.parse((await ask(trusting.port, host, { headers: said })).body) as Echoed
      expect(headers).toEqual({
        host,
        'x-forwarded-for': '203.0.113.9, 127.0.0.1',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'www.example.com',
      })
      const plain = JSON.parse((await ask(trusting.port, host)).body) as Echoed
      expect(plain.headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' })
    } finally {
      await trusting.remove()
    }
  })
})

describe('bodies, streams and time', () => {
  it('streams a large upload without keeping it', async () => {
    const body = Buffer.alloc(40 * 1024 * 1024, 'x')
    expect((await echoed(host, { method: 'POST', body })).size).toBe(body.length)
    const chunked = { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } }
    expect((await echoed(host, chunked)).size).toBe(body.length)
  })

  it('gives the app each part of a body as it comes', async () => {
    let parts = 0
    const slow = await keep(
      startBackend((req, res) => {
        res.writeHead(200)
        req.on('data', () => res.write(`part ${(parts += 1)};`))
        req.on('end', () => res.end())
      }),
    )
    const name = await hostFor(20, slow)
    const answer = await new Promise<string>((done, fail) => {
      const text: string[] = []
      const socket = connect(proxy.port, '127.0.0.1')
      const head = `POST / HTTP/1.1\r\nHost: ${name}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`
      socket.write(`${head}1\r\na\r\n`)
      socket.on('data', (chunk) => {
        text.push(chunk.toString())
        // The answer to the first part is here before the second is sent.
        if (text.join('').includes('part 1;') && parts === 1) socket.write('1\r\nb\r\n0\r\n\r\n')
      })
      socket.on('close', () => done(text.join('')))
      socket.on('error', fail)
    })
    expect(answer).toContain('part 2;')
  })

  it('refuses a body over 500 MB before a byte of it reaches the app', async () => {
    const over = 500 * 1024 * 1024 + 1
    const answer = await sendRaw(proxy.port, `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${over}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toContain('At most 500 MB')
  })

  it('passes events while they happen', async () => {
    let send: (text: string) => void = () => undefined
    const events = await keep(
      startBackend((_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        send = (text) => void res.write(text)
        send('data: 1\n\n')
      }),
    )
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(`GET / HTTP/1.1\r\nHost: ${await hostFor(21, events)}\r\n\r\n`)
    for await (const chunk of socket) {
      const text = String(chunk)
      // Each event is sent only when the one before has arrived.
      if (text.includes('data: 1')) send('data: 2\n\n')
      if (text.includes('data: 2')) break
    }
  })

  it('gives up an answer after the time that the map holds, and not before', async () => {
    const silent = await keep(
      startBackend((req, res) => void setTimeout(() => res.end('late'), Number(req.url?.slice(1)))),
    )
    const name = await hostFor(22, silent)
    await proxy.router.setTimeout('e22', 2_000)
    expect(await ask(proxy.port, name, { path: '/100' })).toMatchObject({ status: 200 })
    const begun = performance.now()
    const answer = await ask(proxy.port, name, { path: '/30000' })
    expect(answer.status).toBe(504)
    expect(answer.body).toContain('took too long')
    expect(performance.now() - begun).toBeLessThan(15_000)
    await proxy.router.setTimeout('e22', null)
    expect(await ask(proxy.port, name, { path: '/3000' })).toMatchObject({ status: 200, body: 'late' })
  })

  it('answers 502 when the app closes without an answer', async () => {
    const rude = await keep(startBackend((req) => req.socket.destroy()))
    const answer = await ask(proxy.port, await hostFor(23, rude))
    expect(answer.status).toBe(502)
    expect(answer.body).toContain('no proper answer')
  })

  it('serves HTTP/1.0, and many requests on one connection', async () => {
    expect(await sendRaw(proxy.port, `GET /old HTTP/1.0\r\nHost: ${host}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.[01] 200 [^]*"\/old"/,
    )
    const three = [1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: ${host}\r\n\r\n`).join('')
    const answers = await sendRaw(proxy.port, three, 2_000)
    expect([...answers.matchAll(/"url":"\/([0-9])"/g)].map(([, n]) => n)).toEqual(['1', '2', '3'])
  })
})

describe('what is open to an address', () => {
  it('is counted while it lasts, and goes to 0 when the clients hang up', async () => {
    const holding = await keep(startBackend(() => undefined))
    const name = await hostFor(24, holding)
    const clients = Array.from({ length: 3 }, () => {
      const socket = connect(proxy.port, '127.0.0.1')
      socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
      return socket
    })
    const count = (): Promise<number | null> => proxy.router.openConnections(holding.target)
    while ((await count()) !== 3) await new Promise((done) => setTimeout(done, 10))
    clients[0]?.destroy()
    while ((await count()) !== 2) await new Promise((done) => setTimeout(done, 10))
    for (const socket of clients) socket.destroy()
    while ((await count()) !== 0) await new Promise((done) => setTimeout(done, 10))
  })
})

describe('Slipway itself', () => {
  it('answers under its own name, without a limit on bodies, and is told who asked', async () => {
    const server = await slipwayOn(proxy, (size, headers) => `${size} ${String(headers['x-forwarded-for'])}`)
    try {
      const body = Buffer.alloc(30 * 1024 * 1024)
      const answer = await ask(proxy.port, `${controlHost}:8080`, { method: 'POST', body })
      expect(answer).toMatchObject({ status: 200, body: `${body.length} 127.0.0.1` })
      const over = `POST / HTTP/1.1\r\nHost: ${controlHost}\r\nContent-Length: 999999999999\r\n\r\n`
      expect(await sendRaw(proxy.port, over, 150, 150)).toBe('')
    } finally {
      await new Promise((done) => server.close(done).closeAllConnections())
    }
  })

  it('has a page that says so while it is down; sites go on', async () => {
    await rm(join(proxy.dataDir, 'run/http.sock'), { force: true })
    const answer = await ask(proxy.port, controlHost)
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('5')
    expect(answer.body).toContain('Slipway is restarting')
    expect(answer.body).toContain('sites')
    await echoed(host)
  })

  it('cannot have its name taken by a site', async () => {
    await expect(proxy.router.addHost(controlHost, 'e1')).rejects.toMatchObject({ code: 'bad_request' })
  })
})

/** A server where Slipway listens, readable by the proxy's user alone. */
async function slipwayOn(
  on: TestProxy,
  answer: (size: number, headers: IncomingHttpHeaders) => string,
): Promise<Server> {
  const path = join(on.dataDir, 'run/http.sock')
  const server = createServer((req, res) => {
    let size = 0
    req.on('data', (chunk: Buffer) => (size += chunk.length))
    req.on('end', () => res.end(answer(size, req.headers)))
  }).listen(path)
  await new Promise((done) => server.once('listening', done))
  await chmod(path, 0o600)
  if (on.owner !== null) await chown(path, on.owner.uid, on.owner.gid)
  return server
}
