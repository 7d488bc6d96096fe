import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { systemClock } from '../../../src/kernel/clock.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import {
  keepChecked,
  runChecks,
  type CheckReport,
  type CheckRequest,
  type Runtime,
} from '../../../src/runtime/index.ts'
import { freePort } from '../../support/free-port.ts'
import { makeFakeRuntime } from '../../support/fake-runtime.ts'

const servers: { close(): unknown; closeAllConnections?(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections?.()
    server.close()
  }
})

async function serve(listener: RequestListener): Promise<number> {
  return listen(createServer(listener))
}

async function listen(server: Server | ReturnType<typeof createTcpServer>, port = 0): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const health = { path: null, status: { from: 200, to: 399 }, intervalMs: 50, timeoutMs: 700, deadlineMs: 1500 }
type Overrides = Partial<Omit<CheckRequest, 'config'>> & {
  config?: { health?: Partial<CheckRequest['config']['health']>; selfTests?: string[] }
}

async function makeCheck(port: number, overrides: Overrides = {}) {
  const runtime = makeFakeRuntime()
  const image = `sha256:${'a'.repeat(64)}`
  const limits = { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 }
  const instance = await runtime.start(
    { name: 'shop', image, labels: {}, env: {}, address: '127.0.0.1', limits },
    new AbortController().signal,
  )
  const attempts: string[] = []
  const request: CheckRequest = {
    runtime,
    clock: systemClock,
    instance,
    port: { port, from: 'EXPOSE' },
    healthcheck: null,
    host: 'test--shop.localhost:8080',
    scheme: 'http',
    onAttempt: (line) => attempts.push(line),
    signal: new AbortController().signal,
    ...overrides,
    config: {
      health: { ...health, ...overrides.config?.health },
      selfTests: overrides.config?.selfTests ?? [],
      resources: limits,
    },
  }
  return { runtime, instance, attempts, request, run: () => runChecks(request) }
}

async function failure(run: () => Promise<CheckReport>): Promise<SlipwayError> {
  const outcome = await run().catch((error: unknown) => error)
  if (!(outcome instanceof SlipwayError)) throw new Error(`passed, or another error: ${JSON.stringify(outcome)}`)
  return outcome
}

describe('checks that pass', () => {
  const patient = { health: { timeoutMs: 20_000, deadlineMs: 60_000 } }

  it('sees an answer at once, with the Host and scheme of the environment, and keeps the instance running', async () => {
    const seen: Record<string, unknown>[] = []
    const port = await serve((req, res) => {
      seen.push({ url: req.url, host: req.headers.host, proto: req.headers['x-forwarded-proto'] })
      res.end('hello')
    })
    const { run, runtime, attempts } = await makeCheck(port, { scheme: 'https', config: patient })
    const report = await run()
    expect(seen).toEqual([{ url: '/', host: 'test--shop.localhost:8080', proto: 'https' }])
    expect(report.passed.map(({ check }) => check)).toEqual(['port', 'http', 'process'])
    expect(report.durationMs).toBeLessThan(20_000)
    expect([...runtime.kept]).toEqual([])
    expect(attempts).toEqual([`GET / on port ${port} → 200 OK`])
  })

  it.each([404, 302, 401])('takes %i at / for an app that is up', async (status) => {
    const { run } = await makeCheck(await serve((_, res) => res.writeHead(status).end()), { config: patient })
    await expect(run()).resolves.toBeDefined()
  })

  it('waits for a port that opens late, and finds it quickly', async () => {
    const port = await freePort()
    const { run, attempts } = await makeCheck(port, { config: { health: { deadlineMs: 120_000, intervalMs: 60_000 } } })
    const checked = run()
    await systemClock.sleep(150)
    const openedMs = performance.now()
    await listen(
      createServer((_, res) => res.end()),
      port,
    )
    await checked
    expect(performance.now() - openedMs).toBeLessThan(20_000)
    expect(attempts[0]).toBe(`GET / on port ${port} → connection refused`)
  })

  it('asks again after a bad answer', async () => {
    let count = 0
    const port = await serve((_, res) => res.writeHead((count += 1) < 3 ? 503 : 200).end())
    const { run, attempts } = await makeCheck(port, { config: patient })
    await run()
    expect(attempts.map((line) => line.split(' → ')[1])).toEqual(['503 Service Unavailable', '200 OK'])
  })

  it('runs the HEALTHCHECK and the self tests beside the HTTP check', async () => {
    const port = await serve((_, res) => res.end())
    const { run } = await makeCheck(port, {
      healthcheck: { argv: ['/bin/sh', '-c', 'exit 0'], timeoutMs: null },
      config: { ...patient, selfTests: ['exit 0', 'true'] },
    })
    const names = (await run()).passed.map(({ check }) => check)
    expect(new Set(names)).toEqual(new Set(['port', 'http', 'healthcheck', 'self-tests', 'process']))
  })
})

describe('checks that fail say what happened', () => {
  it('nothing listens', async () => {
    const port = await freePort()
    const { run, runtime, instance } = await makeCheck(port)
    runtime.writeLog(instance.containerId, 'starting', 'loading')
    const error = await failure(run)
    expect(error.code).toBe('check_failed')
    expect(error.message).toBe(`Nothing listened on port ${port} within 1.5 s.`)
    expect(error.hint).toContain('comes from EXPOSE')
    expect(error.evidence).toEqual([
      `Last probe: GET http://127.0.0.1:${port}/ (Host: test--shop.localhost:8080): connection refused`,
      'The last 2 lines of its log:',
      'starting',
      'loading',
    ])
    expect([...runtime.kept]).toEqual([])
  })

  it('it listens on loopback only, or on another port', async () => {
    const port = await freePort()
    const { run, runtime, instance } = await makeCheck(port)
    runtime.setListeners(instance.containerId, [{ address: '127.0.0.1', port }])
    const loopback = await failure(run)
    expect(loopback.message).toBe(
      `The app listens on 127.0.0.1:${port} only; nobody outside its container can reach it.`,
    )
    expect(loopback.hint).toContain('Bind 0.0.0.0')
    runtime.setListeners(instance.containerId, [{ address: '::', port: 5000 }])
    const other = await failure(run)
    expect(other.message).toBe(`Nothing listens on port ${port}; the app listens on [::]:5000.`)
    expect(other.hint).toContain('port: 5000')
  })

  it('what it says beside its status is read as UTF-8', async () => {
    const reason = Buffer.from('no é here').toString('latin1')
    const { run } = await makeCheck(await serve((_, res) => res.writeHead(500, reason).end()))
    const error = await failure(run)
    expect(error.message).toBe('After 1.5 s the app still answers GET / with 500 no é here.')
  })

  it('it answers 500, with the first line of the answer', async () => {
    const port = await serve((_, res) => res.writeHead(500).end('\nno such table: users\nat line 3'))
    const { run } = await makeCheck(port)
    const error = await failure(run)
    expect(error.message).toBe('After 1.5 s the app still answers GET / with 500 Internal Server Error.')
    expect(error.evidence[1]).toBe('Its first line: no such table: users')
  })

  it('it answered 500 until the deadline cut the last attempt short', async () => {
    const startedMs = performance.now()
    const port = await serve((_, res) => {
      if (performance.now() - startedMs < 1200) res.writeHead(500).end()
    })
    const { run } = await makeCheck(port, { config: { health: { deadlineMs: 1500, timeoutMs: 1000 } } })
    expect((await failure(run)).message).toContain('still answers GET / with 500')
  })

  it('the wrong status for its path', async () => {
    const port = await serve((req, res) => res.writeHead(req.url === '/healthz' ? 404 : 200).end())
    const { run } = await makeCheck(port, { config: { health: { path: '/healthz' } } })
    const error = await failure(run)
    expect(error.message).toBe('After 1.5 s the app still answers GET /healthz with 404 Not Found.')
    expect(error.hint).toContain('200-399')
  })

  it('it never answers', async () => {
    const port = await serve(() => {})
    const { run } = await makeCheck(port)
    expect((await failure(run)).message).toContain(`accepts connections on port ${port} but never answered GET /`)
  })

  it('it drips its headers for ever', async () => {
    const dripping = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 200 OK\r\n')
      const timer = setInterval(() => socket.write('X-A: b\r\n'), 20)
      socket.on('close', () => clearInterval(timer))
    })
    const { run } = await makeCheck(await listen(dripping))
    expect((await failure(run)).message).toContain('never answered')
  })

  it('lines that end without a carriage return are taken as the proxy takes them', async () => {
    const plain = createTcpServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('HTTP/1.0 200 OK\nX: y\n\nfine\n'),
    )
    const { run } = await makeCheck(await listen(plain))
    await expect(run()).resolves.toMatchObject({
      passed: expect.arrayContaining([expect.objectContaining({ check: 'http' })]),
    })
  })

  it.each([
    ['SSH-2.0-OpenSSH\r\n', 'what it sent is not HTTP'],
    ['', 'it closed the connection without an answer'],
    [`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 'its headers are larger than 16 KiB'],
  ])('it does not speak HTTP: %#', async (bytes, why) => {
    // What is left unread would be answered with a reset, which may overtake the bytes.
    const other = createTcpServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end(bytes),
    )
    const { run } = await makeCheck(await listen(other))
    expect((await failure(run)).message).toBe(`The app did not answer GET / in HTTP: ${why}.`)
  })

  it.each([
    [{ exitCode: 0 }, 'The app ended with exit code 0 while it was checked.', 'foreground'],
    [{ exitCode: 127 }, 'The app ended with exit code 127 while it was checked.', 'not in the image'],
    [
      { exitCode: 137 },
      'The app was killed (exit code 137) while it was checked, most likely for memory: its limit is 64 MB.',
      'resources.memory',
    ],
    [{ exitCode: 137, outOfMemory: true }, 'The app was killed for memory: its limit is 64 MB.', 'resources.memory'],
  ])('it ends (%j), and that is known at once', async (how, message, hint) => {
    const { run, runtime, instance } = await makeCheck(await freePort(), {
      config: { health: { deadlineMs: 20_000 } },
    })
    const startedMs = performance.now()
    const checked = failure(run)
    setTimeout(() => {
      runtime.writeLog(instance.containerId, 'Killed')
      runtime.end(instance.containerId, how)
    }, 50)
    const error = await checked
    expect(error.message).toBe(message)
    expect(error.hint).toContain(hint)
    expect(error.evidence).toContain('Killed')
    expect(performance.now() - startedMs).toBeLessThan(10_000)
  })

  it('it ended before anybody looked', async () => {
    const { run, runtime, instance } = await makeCheck(await serve((_, res) => res.end()))
    runtime.end(instance.containerId, { exitCode: 3 })
    expect((await failure(run)).message).toContain('exit code 3')
  })

  it.each([
    [{ exitCode: 3 }, 'See its log above.', /^Let the app say why it ends/],
    [{ exitCode: 139 }, 'It was ended by signal 11. See its log above.', /^It was ended by signal 11\.$/],
  ])('nobody is sent to a log in which is nothing (%j)', async (how, withLog, without) => {
    const { run, runtime, instance } = await makeCheck(await serve((_, res) => res.end()))
    runtime.end(instance.containerId, how)
    const silent = await failure(run)
    expect([silent.hint, silent.evidence]).toEqual([
      expect.stringMatching(without),
      expect.arrayContaining(['The app wrote nothing to its log.']),
    ])
    runtime.writeLog(instance.containerId, 'no database')
    expect((await failure(run)).hint).toBe(withLog)
  })

  it('it ended and the engine told nobody: looked at once more when all has passed, and when a check failed', async () => {
    let onAnswer = (): void => undefined
    const port = await serve((_, res) => res.end(onAnswer))
    const passing = await makeCheck(port)
    onAnswer = () => passing.runtime.end(passing.instance.containerId, { exitCode: 1 })
    const silent: typeof passing.runtime = { ...passing.runtime, watch: () => undefined }
    const ended = 'The app ended with exit code 1 while it was checked.'
    expect((await failure(() => runChecks({ ...passing.request, runtime: silent }))).message).toBe(ended)
    onAnswer = () => undefined

    const failing = await makeCheck(port, { config: { selfTests: ['exit 3'] } })
    const endsInTest: typeof failing.runtime = {
      ...failing.runtime,
      watch: () => undefined,
      async exec(...args) {
        const outcome = await failing.runtime.exec(...args)
        failing.runtime.end(failing.instance.containerId, { exitCode: 1 })
        return outcome
      },
    }
    const error = await failure(() => runChecks({ ...failing.request, runtime: endsInTest }))
    expect(error.message).toBe(ended)
  })

  it('it ended while the engine was told to keep it', async () => {
    const { runtime, request, instance } = await makeCheck(await serve((_, res) => res.end()))
    const endsThen: typeof runtime = {
      ...runtime,
      async keepRunning(id) {
        await runtime.keepRunning(id)
        runtime.end(id, { exitCode: 1 })
      },
    }
    runtime.writeLog(instance.containerId, 'last words')
    await keepChecked(request)
    expect(runtime.kept.has(instance.containerId)).toBe(true)
    const error = await failure(() => keepChecked({ ...request, runtime: endsThen }) as Promise<never>)
    expect([error.code, error.message]).toEqual([
      'check_failed',
      'The app ended with exit code 1 while it was checked.',
    ])
    expect(error.evidence).toContain('last words')
  })

  it('one that fails ends the others', async () => {
    const { run } = await makeCheck(await serve((_, res) => res.writeHead(500).end()), {
      config: { health: { deadlineMs: 20_000 }, selfTests: ['exit 3'] },
    })
    const startedMs = performance.now()
    const error = await failure(run)
    expect(error.message).toContain('self test “exit 3” failed')
    expect(error.hint).toMatch(/^It printed nothing\. It runs in a new instance/)
    expect(performance.now() - startedMs).toBeLessThan(10_000)
  })

  /** What the HEALTHCHECK does, one time after the other; the last for good. No process: a busy machine starts one too late. */
  async function failHealthcheck(...attempts: ('fails' | 'hangs')[]) {
    const port = await serve((_, res) => res.end())
    const made = await makeCheck(port, { healthcheck: { argv: ['true'], timeoutMs: 5_000 } })
    const exec: Runtime['exec'] = async (_id, _argv, { timeoutMs }) => {
      const does = attempts.length > 1 ? attempts.shift() : attempts[0]
      if (does === 'fails') return { exitCode: 1, output: ['broken pipe'] }
      await new Promise((resolve) => setTimeout(resolve, timeoutMs))
      throw new SlipwayError('timeout', 'The command did not answer in time.')
    }
    const error = await failure(() => runChecks({ ...made.request, runtime: { ...made.runtime, exec } }))
    return { error, told: made.attempts }
  }

  it('a HEALTHCHECK that never passes', async () => {
    const { error, told } = await failHealthcheck('fails')
    expect(error.message).toBe('The image’s HEALTHCHECK did not pass within 1.5 s: exit code 1.')
    expect(error.evidence[0]).toBe('broken pipe')
    expect(told).toContain('HEALTHCHECK → exit code 1')
  })

  it('a HEALTHCHECK that hangs; and what it said before, when only the deadline ended it', async () => {
    expect((await failHealthcheck('hangs')).error.message).toContain('did not pass within 1.5 s: not ended in time.')
    const { error } = await failHealthcheck('fails', 'hangs')
    expect(error.message).toContain('did not pass within 1.5 s: exit code 1.')
    expect(error.evidence[0]).toBe('broken pipe')
  })

  it('a self test, and the ones after it do not run', async () => {
    const port = await serve((_, res) => res.end())
    const { run, attempts } = await makeCheck(port, { config: { selfTests: ['echo no; exit 2', 'echo never'] } })
    const error = await failure(run)
    expect(error.message).toBe('The self test “echo no; exit 2” failed: exit code 2.')
    expect(error.hint).toMatch(/^Its output is above\. It runs in a new instance/)
    expect(error.evidence[0]).toBe('no')
    expect(attempts.filter((line) => line.startsWith('self test'))).toHaveLength(1)
  })

  it('a self test that does not end by the deadline', async () => {
    const { run } = await makeCheck(await serve((_, res) => res.end()), { config: { selfTests: ['exec sleep 30'] } })
    const error = await failure(run)
    expect(error.message).toBe('The self test “exec sleep 30” failed: not ended in time.')
  })
})

describe('checks that are not finished', () => {
  it('end at once when cancelled, with the reason', async () => {
    const cancel = new AbortController()
    const { run } = await makeCheck(await freePort(), { signal: cancel.signal })
    const checked = failure(run)
    cancel.abort(new SlipwayError('cancelled', 'Somebody cancelled the deploy.'))
    expect((await checked).message).toBe('Somebody cancelled the deploy.')
  })

  it('never call an instance good when the engine does not answer', async () => {
    const { run, runtime } = await makeCheck(await serve((_, res) => res.end()))
    runtime.setAway(true)
    expect((await failure(run)).code).toBe('unavailable')
  })
})
