import { readFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ensureBaseImage } from '../support/base-image.ts'
import { countCommands, readLog, untilAllEnded, untilRetired } from '../support/crashes.ts'
import { listHoldings } from '../support/holdings.ts'
import { askOnce, visitKept } from '../support/kept-visitor.ts'
import { layOlderProgram, type OlderProgram } from '../support/older-program.ts'
import { root } from '../support/root.ts'
import { type Clone, makeClone, makeSlipway, page, type Slipway, waitFor } from '../support/slipway.ts'
import { visit } from '../support/visitor.ts'

const apps = ['build', 'command', 'socket'] as const
type App = (typeof apps)[number]

/** Long enough for the older program to end and the newer one to start meanwhile. */
const buildPause = 'echo begun; sleep 15; echo over'
const commandPause = 'echo begun; sleep 25; echo over'

/** A server that is a shell script: speaks raw after an upgrade. */
const echo = `#!/bin/sh
cr=$(printf '\\r')
first=
while IFS= read -r line && [ -n "\${line%$cr}" ]; do first="$first$line"; done
case "$first" in
  *" /socket "*)
    printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\\r\\n\\r\\n'
    while IFS= read -r line; do echo "echo $line"; done ;;
  *) printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nv1' ;;
esac
`

/** Sites have visitors and deploys are running when the program is replaced by a newer one on the same data. */
describe('an upgrade from the version before', () => {
  let slipway: Slipway
  let older: OlderProgram
  const clones = new Map<App, Clone>()

  beforeAll(async () => {
    await ensureBaseImage()
    older = await layOlderProgram()
    slipway = await makeSlipway({ DATABASE_URL: '' })
    slipway.useProgram(older.folder)
    await slipway.start()
    for (const app of apps) {
      const clone = await makeClone(slipway, app)
      clones.set(app, clone)
      await clone.write(app === 'socket' ? echoing() : page('v1'))
      expect((await clone.push('develop')).results).toMatchObject([{ status: 'live' }])
    }
  })
  afterAll(async () => {
    slipway.useProgram(root)
    for (const clone of clones.values()) await clone.remove()
    expect(await slipway.remove()).toEqual([])
    await older.remove()
  })

  const clone = (app: App): Clone => clones.get(app) as Clone
  const deployOf = async (app: App): Promise<{ id: number; state: string }> => {
    const [row] = await slipway.sql<{ id: string; state: string }>(
      `select d.id, d.state from deploys d join environments e on e.id = d.environment_id join apps a on a.id = e.app_id
       where a.name = $1 order by d.id desc limit 1`,
      [app],
    )
    return { id: Number(row?.id), state: row?.state ?? '' }
  }
  const outputOf = async (app: App): Promise<string[]> =>
    (await readLog(slipway, (await deployOf(app)).id))
      .filter(({ kind, text }) => kind === 'output' && (text === 'begun' || text === 'over'))
      .map(({ text }) => text)
  const begun = async (app: App): Promise<boolean> => (await outputOf(app)).includes('begun')

  it('loses no request and no deploy, and runs nothing twice', async () => {
    const site = (app: App): string => `test--${app}.localhost`
    const visitors = apps.map((app) => visit(slipway.port, site(app), ['v1', 'v2']))
    const kept = apps.map((app) => visitKept(slipway.port, site(app), ['v1', 'v2']))
    const socket = await openSocket(slipway.port, site('socket'))
    const countStarted = countCommands(slipway)
    // The command first: there may be one build at a time only.
    for (const app of ['command', 'build'] as const) {
      await clone(app).write(taking(app))
      await clone(app).push('develop', '-o', 'nowait')
      await waitFor(`the ${app} to run`, 60_000, () => begun(app))
    }
    const proxyBefore = await proxyPid(slipway)

    expect(await slipway.stop('SIGTERM')).toBe(0)
    expect((await deployOf('build')).state).toBe('running')
    expect((await deployOf('command')).state).toBe('running')
    slipway.useProgram(root)
    await slipway.start()
    // Else this would not try what it is for.
    expect(await proxyPid(slipway)).not.toBe(proxyBefore)

    await untilAllEnded(slipway)
    for (const app of ['build', 'command'] as const) {
      expect([app, (await deployOf(app)).state]).toEqual([app, 'live'])
      expect((await slipway.get(site(app))).body).toBe('v2\n')
    }
    expect(await countStarted()).toBe(1)
    expect(await outputOf('command')).toEqual(['begun', 'over'])
    expect(await socket.say('after')).toBe('echo after')
    socket.end()
    for (const visitor of visitors) {
      expect(await visitor.stop()).toEqual([])
      expect(Object.values(visitor.seen()).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(10)
    }
    for (const visitor of kept) {
      expect(await visitor.stop()).toEqual([])
      expect(visitor.kept()).toBeGreaterThan(10)
    }
    await untilRetired(slipway)
    const { containers, addresses, targets } = await listHoldings(slipway)
    expect([containers.length, addresses, targets.length]).toEqual([3, 3, 3])
  }, 300_000)

  it('is not undone by starting the older one again: it says that a newer one is needed, and no site notices', async () => {
    const visitors = apps.map((app) => visit(slipway.port, `test--${app}.localhost`, [app === 'socket' ? 'v1' : 'v2']))
    expect(await slipway.stop()).toBe(0)
    await older.forget()
    slipway.useProgram(older.folder)
    slipway.launch()
    expect(await slipway.ended()).toBe(1)
    expect(slipway.output()).toContain(older.refusal)
    slipway.useProgram(root)
    await slipway.start()
    for (const visitor of visitors) {
      expect(await visitor.stop()).toEqual([])
      expect(Object.keys(visitor.seen())).toHaveLength(1)
    }
    expect((await listHoldings(slipway)).containers).toHaveLength(3)
  }, 120_000)

  it('that changes the proxy’s configuration leaves kept connections their next request, whatever is deployed meanwhile', async () => {
    const [host, agent] = ['test--build.localhost', new Agent({ keepAlive: true, maxSockets: 1 })]
    expect(await askOnce(slipway.port, host, agent)).toEqual({ answer: '200 v2', onKept: false })
    const proxyBefore = await proxyPid(slipway)
    expect(await slipway.stop()).toBe(0)
    await slipway.start({ SLIPWAY_ROUTER_LOG: 'off' })
    expect(await proxyPid(slipway)).not.toBe(proxyBefore)
    await clone('build').write(page('v3'))
    expect((await clone('build').push('develop')).results).toMatchObject([{ status: 'live' }])
    expect((await slipway.get(host)).body).toBe('v3\n')
    // Twice its drain time, and what it takes to stop it.
    await delay(6_000)
    expect(await askOnce(slipway.port, host, agent)).toEqual({ answer: '200 v2', onKept: true })
    expect(await askOnce(slipway.port, host, agent)).toEqual({ answer: '200 v3', onKept: false })
    agent.destroy()
    await untilRetired(slipway)
    expect((await listHoldings(slipway)).containers).toHaveLength(3)
  }, 120_000)
})

/** The second version of an app whose build, or release command, takes its time. */
function taking(app: 'build' | 'command'): Record<string, string> {
  const build = app === 'build' ? `RUN ${buildPause}\n` : ''
  const command = app === 'command' ? `release: [{ label: migrate, run: "${commandPause}" }]\n` : ''
  return page('v2', {
    Dockerfile: `FROM slipway-test/busybox:1\nCOPY www /www\n${build}CMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n`,
    'slipway.yml': `drain: 2s\nstop: 1s\n${command}`,
  })
}

function echoing(): Record<string, string> {
  return {
    Dockerfile:
      'FROM slipway-test/busybox:1\nCOPY answer /\nRUN chmod 755 /answer\nCMD ["/bin/sh", "-c", "exec nc -ll -p $PORT -e /answer"]\n',
    answer: echo,
    'slipway.yml': 'drain: 2s\nstop: 1s\n',
  }
}

async function proxyPid(slipway: Slipway): Promise<string> {
  return (await readFile(join(slipway.dataDir, 'run/proxy.pid'), 'utf8')).trim()
}

/** An upgraded connection; `say` resolves with what comes back. */
async function openSocket(port: number, host: string): Promise<{ say(text: string): Promise<string>; end(): void }> {
  const socket: Socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString())).on('error', (error) => (text += String(error)))
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  socket.write(`GET /socket HTTP/1.1\r\nHost: ${host}:${port}\r\n${upgrade}\r\n`)
  await waitFor('the upgrade', 30_000, () => text.includes('\r\n\r\n'))
  expect(text).toContain('101 Switching Protocols')
  return {
    async say(line) {
      text = ''
      socket.write(`${line}\n`)
      await waitFor('its echo', 30_000, () => text.includes('\n') || socket.destroyed)
      return text.trim()
    },
    end: () => socket.destroy(),
  }
}
