import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/kernel/clock.ts'
import { SlipwayError } from '../../src/kernel/errors.ts'
import {
  choosePort,
  keepChecked,
  runChecks,
  type CheckReport,
  type CheckRequest,
  type InstanceSpec,
} from '../../src/runtime/index.ts'
import { makeImage, makeTestRuntime, removeImage, type TestRuntime } from '../support/docker-runtime.ts'

/** Answers every request with the status and body. */
const serve = (port: number, status = '200 OK', body = 'hello'): string =>
  [
    'mkdir -p /srv',
    "echo '#!/bin/sh' > /srv/answer",
    'echo "while read -r line && [ \\${#line} -gt 1 ]; do :; done" >> /srv/answer',
    `echo 'printf "HTTP/1.0 ${status}\\r\\n\\r\\n${body}"' >> /srv/answer`,
    'chmod +x /srv/answer',
    `exec nc -ll -p ${port} -e /srv/answer`,
  ].join('; ')

describe('the checks on real containers', () => {
  let test: TestRuntime
  const images = new Map<string, string>()
  /** What the engine knew of the last one's end. It loses word of the kernel's out-of-memory at times, on a busy machine. */
  let engineSawOutOfMemory = false
  beforeAll(async () => {
    test = await makeTestRuntime()
  })
  afterAll(async () => {
    await test.dispose()
    for (const digest of images.values()) await removeImage(test, digest)
  })

  interface Given {
    readonly port?: number
    readonly deadlineMs?: number
    readonly path?: string
    readonly selfTests?: string[]
    readonly healthcheck?: string[]
    readonly spec?: Partial<InstanceSpec>
  }

  async function check(command: string, given: Given = {}): Promise<{ report: CheckReport; attempts: string[] }> {
    const image = images.get(command) ?? (await makeImage(test, `c${images.size}`, ['/bin/sh', '-c', command]))
    images.set(command, image)
    const spec = test.spec({ image, ...given.spec })
    const instance = await test.runtime.start(spec, new AbortController().signal)
    const health = {
      path: given.path ?? null,
      status: { from: 200, to: 399 },
      intervalMs: 200,
      timeoutMs: 1000,
      deadlineMs: given.deadlineMs ?? 4000,
    }
    const attempts: string[] = []
    try {
      const request: CheckRequest = {
        runtime: test.runtime,
        clock: systemClock,
        instance,
        port: choosePort({ port: given.port ?? 8000 }, { exposedPorts: [] }),
        config: { health, selfTests: given.selfTests ?? [], resources: spec.limits },
        healthcheck: given.healthcheck === undefined ? null : { argv: given.healthcheck, timeoutMs: null },
        host: 'test--shop.localhost',
        scheme: 'http',
        onAttempt: (line) => attempts.push(line),
        signal: new AbortController().signal,
      }
      const report = await runChecks(request)
      await keepChecked(request)
      const info = await test.docker.getContainer(instance.containerId).inspect()
      expect(info.HostConfig.RestartPolicy?.Name).toBe('unless-stopped')
      return { report, attempts }
    } finally {
      engineSawOutOfMemory = (await test.docker.getContainer(instance.containerId).inspect()).State.OOMKilled
      await test.runtime.remove(instance.containerId)
    }
  }

  async function failure(command: string, given?: Given): Promise<SlipwayError> {
    const outcome = await check(command, given).catch((error: unknown) => error)
    if (!(outcome instanceof SlipwayError)) throw new Error(`not the expected failure: ${String(outcome)}`)
    expect(outcome.code).toBe('check_failed')
    return outcome
  }

  it('pass for an app that answers, long before the deadline', async () => {
    const { report, attempts } = await check(serve(8000), { deadlineMs: 60_000 })
    expect(attempts.at(-1)).toBe('GET / on port 8000 → 200 OK')
    expect(report.durationMs).toBeLessThan(20_000)
  })

  it('pass for one that listens late, soon after it does', async () => {
    const { report, attempts } = await check(`sleep 4; ${serve(8000)}`, { deadlineMs: 60_000 })
    expect(attempts[0]).toBe('GET / on port 8000 → connection refused')
    expect(report.durationMs).toBeGreaterThan(700)
    expect(report.durationMs).toBeLessThan(20_000)
  })

  it('run HEALTHCHECK and self tests inside', async () => {
    const { report } = await check(serve(8000), {
      healthcheck: ['/bin/sh', '-c', 'test -f /srv/answer'],
      selfTests: ['test "$GREETING" = hello'],
      spec: { env: { GREETING: 'hello' } },
      deadlineMs: 30_000,
    })
    expect(report.passed.map((one) => one.check)).toEqual(expect.arrayContaining(['healthcheck', 'self-tests']))
  })

  it('fail when it exits at once, without waiting for the deadline', async () => {
    const startedMs = performance.now()
    const error = await failure('echo cannot read config; exit 3', { deadlineMs: 60_000 })
    expect(error.message).toBe('The app ended with exit code 3 while it was checked.')
    expect(error.evidence).toContain('cannot read config')
    expect(performance.now() - startedMs).toBeLessThan(30_000)
  })

  it('fail when its program is not there', async () => {
    const error = await failure('exec /srv/missing', { deadlineMs: 60_000 })
    expect(error.message).toContain('exit code 127')
    expect(error.evidence.join('\n')).toContain('/srv/missing')
  })

  it('fail when it is killed for memory, soon and later', async () => {
    const limits = { memoryBytes: 16 * 1024 * 1024, cpus: 1, pids: 64 }
    for (const command of ['exec tail /dev/zero', 'sleep 0.5; exec tail /dev/zero']) {
      const error = await failure(command, { deadlineMs: 60_000, spec: { limits } })
      const likely =
        'The app was killed (exit code 137) while it was checked, most likely for memory: its limit is 16 MB.'
      // It may also have heard of it only after it was asked for the message.
      const sure = engineSawOutOfMemory ? ['The app was killed for memory: its limit is 16 MB.'] : []
      expect([...sure, likely]).toContain(error.message)
      expect(error.hint).toContain('resources.memory')
    }
  })

  it('fail when it listens on 127.0.0.1 only', async () => {
    const error = await failure('exec httpd -f -p 127.0.0.1:8000')
    expect(error.message).toBe('The app listens on 127.0.0.1:8000 only; nobody outside its container can reach it.')
    expect(error.hint).toContain('Bind 0.0.0.0')
  })

  it('fail when it listens on another port, and say which', async () => {
    const error = await failure(serve(5000))
    expect(error.message).toMatch(/^Nothing listens on port 8000; the app listens on (\[::\]|0\.0\.0\.0):5000\.$/)
    expect(error.hint).toContain('Port 8000 comes from slipway.yml.')
  })

  it('fail when nothing listens', async () => {
    const error = await failure('echo waiting; exec sleep 60')
    expect(error.message).toBe('Nothing listened on port 8000 within 4 s.')
    expect(error.evidence.at(-1)).toBe('waiting')
  })

  it('fail on 500 and show the answer', async () => {
    const error = await failure(serve(8000, '500 Oh No', 'no such table'))
    expect(error.message).toBe('After 4 s the app still answers GET / with 500 Oh No.')
    expect(error.evidence.join('\n')).toContain('Its first line: no such table')
  })

  it('fail on the wrong status for the path', async () => {
    const error = await failure(serve(8000, '404 Not Found'), { path: '/healthz' })
    expect(error.message).toContain('GET /healthz with 404 Not Found')
  })

  it('fail when it accepts and never answers', async () => {
    const error = await failure('exec nc -ll -p 8000 -e /bin/sleep 60')
    expect(error.message).toContain('accepts connections on port 8000 but never answered GET /')
  })

  it('fail on a self test, with its output', async () => {
    const error = await failure(serve(8000), { selfTests: ['echo 2 tests failed; exit 1'], deadlineMs: 30_000 })
    expect(error.message).toContain('failed: exit code 1')
    expect(error.evidence[0]).toBe('2 tests failed')
  })
})
