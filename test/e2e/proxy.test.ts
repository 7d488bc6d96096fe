import { existsSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { type Cli, makeCli } from '../support/slipway-cli.ts'

/** One connection of a server that is a shell script: echoes the request, streams events, speaks raw after an upgrade, dies on demand. */
const answer = `#!/bin/sh
cr=$(printf '\\r')
IFS= read -r first
seen="$first
"
while IFS= read -r line; do
  line=\${line%$cr}
  [ -z "$line" ] && break
  seen="$seen$line
"
done
case "$first" in
  *" /events "*)
    printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nConnection: close\\r\\n\\r\\n'
    for i in 1 2 3; do printf 'data: %s\\n\\n' $i; sleep 1; done ;;
  *" /socket "*)
    printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\\r\\n\\r\\n'
    while IFS= read -r line; do echo "$SLIPWAY_RELEASE $line"; done ;;
  *" /die "*)
    touch /tmp/died
    kill -9 -1 ;;
  *)
    printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nConnection: close\\r\\n\\r\\n%s' "$seen" ;;
esac
`
const start = `#!/bin/sh
[ -e /tmp/died ] && sleep 15
exec nc -ll -p $PORT -e /answer
`
const dockerfile = 'FROM slipway-test/busybox:1\nCOPY answer start /\nRUN chmod 755 /answer /start\nCMD ["/start"]\n'

/** What visitors get: through the real proxy, while releases come and go. */
describe('a site behind the proxy', () => {
  let slipway: Slipway
  let clone: Clone
  let cli: Cli

  beforeAll(async () => {
    await ensureBaseImage()
    slipway = await makeSlipway()
    await slipway.start()
    cli = await makeCli()
    clone = await makeClone(slipway, 'echo')
    await clone.write({ Dockerfile: dockerfile, answer, start, 'slipway.yml': 'drain: 8s\nstop: 1s\n' })
    expect((await clone.push('main')).results).toMatchObject([{ status: 'live' }])
  })

  afterAll(async () => {
    await Promise.all([clone.remove(), cli.remove()])
    expect(await slipway.remove()).toEqual([])
  })

  it('is told who asked and how; what strangers claim is dropped', async () => {
    const forged = {
      'X-Forwarded-For': '6.6.6.6',
      X_Forwarded_For: '6.6.6.6',
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Port': '443',
      'X-Forwarded-Prefix': '/evil',
      Forwarded: 'for=6.6.6.6',
      'X-Real-IP': '6.6.6.6',
      'X-Slipway-User': 'admin',
      Proxy: 'http://evil.example',
      'X-Mine': 'kept',
    }
    const { status, body } = await slipway.get('test--echo.localhost', '/a?b=c', { headers: forged })
    expect(status).toBe(200)
    const lines = body.toLowerCase().split('\n')
    const host = `test--echo.localhost:${slipway.port}`
    expect(lines[0]).toBe('get /a?b=c http/1.1\r')
    for (const line of [
      `host: ${host}`,
      'x-forwarded-for: 127.0.0.1',
      `x-forwarded-host: ${host}`,
      'x-forwarded-proto: http',
      `x-forwarded-port: ${slipway.port}`,
      'x-mine: kept',
    ]) {
      expect(lines.filter((one) => one === line)).toHaveLength(1)
    }
    expect(body).not.toMatch(/6\.6\.6\.6|evil|^proxy:|slipway-user|^forwarded:|real-ip/im)
  })

  it('streams events as they happen', async () => {
    const socket = connect(slipway.port, '127.0.0.1')
    socket.write(`GET /events HTTP/1.1\r\nHost: test--echo.localhost:${slipway.port}\r\n\r\n`)
    const { text, times } = collect(socket)
    await waitFor('the last event', 30_000, () => text().includes('data: 3'))
    socket.destroy()
    expect(times('data: 3')).toBeGreaterThan(times('data: 1') ?? Infinity)
  })

  it('keeps an open websocket through a swap, until the drain time is over', async () => {
    const socket = connect(slipway.port, '127.0.0.1')
    let closed = false
    socket.on('close', () => (closed = true)).on('error', () => undefined)
    const { text } = collect(socket)
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
    socket.write(`GET /socket HTTP/1.1\r\nHost: test--echo.localhost:${slipway.port}\r\n${upgrade}\r\n`)
    await waitFor('the upgrade', 30_000, () => text().includes('101 Switching Protocols'))
    socket.write('before\n')
    await waitFor('an echo', 30_000, () => text().includes('v1 before'))
    await clone.write({ more: 'x' })
    expect((await clone.push('main')).results).toMatchObject([{ release: 'v2', status: 'live' }])
    expect((await slipway.get('v2--test--echo.localhost')).status).toBe(200)
    expect(closed).toBe(false)
    socket.write('after\n')
    await waitFor('an echo of the old release', 30_000, () => text().includes('v1 after'))
    await waitFor('the end of the drain', 30_000, () => closed)
    await waitFor(
      'the old container to be gone',
      10_000,
      async () => (await slipway.sql("select 1 from instances where state = 'draining'")).length === 0,
    )
  })

  it('that crashes says so with 503 and Retry-After and in the status, and comes back by itself', async () => {
    await slipway.get('test--echo.localhost', '/die').catch(() => undefined)
    await waitFor('the page of a crashed site', 30_000, async () => {
      const { status, headers } = await slipway.get('test--echo.localhost')
      return status === 503 && headers['retry-after'] === '30'
    })
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const { stdout } = await cli.run(['status', '-a', 'echo'], { env })
    expect(stdout).toMatch(/^test +v2 .*down /m)
    await waitFor('the site to be back', 30_000, async () => (await slipway.get('test--echo.localhost')).status === 200)
    expect((await cli.run(['status', '-a', 'echo'], { env })).stdout).toMatch(/^test +v2 .* up /m)
  })

  it('loses no request in five swaps at fifty requests a second', async () => {
    const shop = await makeClone(slipway, 'shop')
    await shop.write({ ...page('0'), 'slipway.yml': 'drain: 1s\nstop: 1s\n' })
    expect((await shop.push('main')).results).toMatchObject([{ status: 'live' }])
    const answers: Promise<string>[] = []
    const ask = (): void => {
      const one = slipway.get('test--shop.localhost')
      answers.push(
        one.then(
          ({ status, body }) => `${status} ${body.trim()}`,
          (error: Error) => `failed: ${error.message}`,
        ),
      )
    }
    const asking = setInterval(ask, 20)
    for (const n of ['1', '2', '3', '4', '5']) {
      await shop.write({ 'www/index.html': `${n}\n` })
      expect((await shop.push('main')).results).toMatchObject([{ status: 'live' }])
    }
    clearInterval(asking)
    // The last push may have returned within these 20 ms.
    ask()
    const seen = new Set(await Promise.all(answers))
    expect(answers.length).toBeGreaterThan(100)
    expect([...seen].sort()).toEqual(['200 0', '200 1', '200 2', '200 3', '200 4', '200 5'])
    await shop.remove()
  })

  it('asks for a password when it is protected, whatever is killed, and keeps it from the app', async () => {
    const env = { SLIPWAY_URL: slipway.controlUrl, SLIPWAY_TOKEN: slipway.token }
    const host = 'test--echo.localhost'
    const password = { authorization: `Basic ${Buffer.from('anna:s3cret ä').toString('base64')}` }
    const expectProtected = async (): Promise<void> => {
      expect((await slipway.get(host, '/')).status).toBe(401)
      const { status, body } = await slipway.get(host, '/', { headers: password })
      expect([status, body.toLowerCase().includes('authorization')]).toEqual([200, false])
    }
    const { stdout } = await cli.run(['protect', 'test', 'anna', '-a', 'echo'], { env, input: 's3cret ä\n' })
    expect(stdout).toBe('Only anna with a password may see test.\n')
    await expectProtected()
    const pidFile = join(slipway.dataDir, 'run/proxy.pid')
    const before = Number(readFileSync(pidFile, 'utf8'))
    process.kill(before, 'SIGKILL')
    await waitFor('another proxy', 30_000, async () => {
      // Nobody has one while the next one is started.
      const isAnother = existsSync(pidFile) && ![0, before].includes(Number(readFileSync(pidFile, 'utf8')))
      return isAnother && (await slipway.get(host, '/').catch(() => null)) !== null
    })
    await expectProtected()
    await clone.write({ note: 'another commit' })
    expect((await clone.push('main')).results).toMatchObject([{ status: 'live' }])
    await expectProtected()
    expect((await cli.run(['unprotect', 'test', '-a', 'echo'], { env })).stdout).toBe('Everybody may see test.\n')
    expect((await slipway.get(host, '/')).status).toBe(200)
  })

  it('that nobody has is a plain 404 that repeats nothing of the request', async () => {
    const { status, body } = await slipway.get('no-such<b>.localhost', '/<script>')
    expect(status).toBeGreaterThanOrEqual(400)
    const unknown = await slipway.get('nobody.localhost', '/somewhere')
    expect([status >= 400, unknown.status, unknown.body.includes('nobody'), body.includes('script')]).toEqual([
      true,
      404,
      false,
      false,
    ])
  })
})

/** What comes in, and when each text was first seen. */
function collect(socket: Socket): { text: () => string; times: (part: string) => number | undefined } {
  let text = ''
  const marks: { at: number; length: number }[] = []
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    marks.push({ at: Date.now(), length: text.length })
  })
  return {
    text: () => text,
    times: (part) => marks.find(({ length }) => text.indexOf(part) !== -1 && length > text.indexOf(part))?.at,
  }
}
