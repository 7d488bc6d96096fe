import { afterEach, describe, expect, it } from '@jest/globals'
import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isOwnProcess, launchProxy, listOwnProcesses } from '../../src/adapters/haproxy/launch.ts'
import {
  ask,
  type Backend,
  freePort,
  makeLogLines,
  startBackend,
  startEcho,
  startTestProxy,
  tellProxy,
  type TestProxy,
  until,
} from '../support/proxy.ts'

const host = 'a.example.org'
/** Long, because a machine may be slow: these tests are about what happens, `npm run bench` is about how fast. */
const patienceMs = 20_000
const oldSettings = {
  ...{ bind: '127.0.0.1', controlHost: 'slipway.example.org', trustedProxies: [], user: null },
  binary: '/usr/sbin/haproxy',
}
let proxy: TestProxy
let backend: Backend
let watching: AbortController

async function startServing(options: Parameters<typeof startTestProxy>[0] = {}): Promise<void> {
  watching = new AbortController()
  proxy = await startTestProxy(options)
  backend = await startEcho('one')
  await proxy.router.defineSet('r1', [backend.target])
  await proxy.router.swap('e1', { set: 'r1', size: 1 })
  await proxy.router.addHost(host, 'e1')
}
afterEach(async () => {
  watching.abort()
  await backend.close()
  await proxy.remove()
  expect(await listOwnProcesses(proxy.dataDir)).toEqual([])
})

const pid = async (): Promise<number> => Number(await readFile(join(proxy.dataDir, 'run/proxy.pid'), 'utf8'))
const mapFile = (map: string): string => join(proxy.dataDir, 'proxy/maps', `${map}.map`)
const status = (): Promise<number> =>
  ask(proxy.port, host).then(
    (answer) => answer.status,
    () => 0,
  )
const serves = async (): Promise<boolean> => (await status()) === 200

describe('the proxy that is found at the next start', () => {
  it('is the same process, with its connections and routes', async () => {
    const begunMs = Date.now()
    await startServing()
    const before = await pid()
    const later = proxy.again()
    await later.ensure()
    expect(await pid()).toBe(before)
    // It counts whole seconds.
    expect((await later.router.startedAt())?.getTime()).toBeGreaterThan(begunMs - 2_000)
    expect((await later.router.startedAt())?.getTime()).toBeLessThanOrEqual(Date.now())
    await new Promise((resolve) => setTimeout(resolve, 2_200))
    expect((await later.router.startedAt())?.getTime()).toBeLessThan(Date.now() - 900)
    expect((await later.router.read()).hosts.get(host)).toBe('e1')
    await later.router.defineSet('r2', [backend.target])
    expect(await serves()).toBe(true)
  })

  it('is no child of ours and has a session of its own', async () => {
    await startServing()
    const [, , state, parent, , session] = (await readFile(`/proc/${await pid()}/stat`, 'utf8')).split(' ')
    expect(state).not.toBe('Z')
    expect(Number(parent)).not.toBe(process.pid)
    const own = (await readFile('/proc/self/stat', 'utf8')).split(' ')[5]
    expect(session).not.toBe(own)
  })

  it('is reloaded when the settings are others: no connection is cut, and open ones are not told as none', async () => {
    await startServing()
    const before = await pid()
    let answer = (): void => undefined
    const slow = await startBackend((_req, res) => void (answer = () => res.end('slow')))
    await proxy.router.defineSet('r2', [slow.target])
    await proxy.router.swap('e2', { set: 'r2', size: 1 })
    await proxy.router.addHost('slow.example.org', 'e2')
    let failed = 0
    let running = true
    const load = (async () => {
      while (running) if (!(await serves())) failed += 1
    })()
    const open = ask(proxy.port, 'slow.example.org')
    await until(async () => (await proxy.router.openConnections(slow.target)) === 1, patienceMs, 'the request')
    const later = proxy.again({ controlHost: 'other.example.org' })
    await later.ensure()
    expect(await pid()).not.toBe(before)
    expect(await later.router.openConnections(slow.target)).toBeNull()
    answer()
    expect((await open).body).toBe('slow')
    await until(async () => !(await isOwnProcess(proxy.dataDir, before)), patienceMs, 'the end of the old process')
    expect(await later.router.openConnections(slow.target)).toBe(0)
    running = false
    await load
    expect(failed).toBe(0)
    await slow.close()
  })

  it('is reloaded while a client keeps a connection: its next request is answered there, and then it is closed', async () => {
    await startServing()
    const before = await pid()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const first = await ask(proxy.port, host, { agent })
    expect([first.status, first.headers['connection']]).not.toEqual([200, 'close'])
    const later = proxy.again({ controlHost: 'other.example.org' })
    await later.ensure()
    expect(await pid()).not.toBe(before)
    await delay(1000)
    expect([await later.router.mayLeadAsBefore(), await isOwnProcess(proxy.dataDir, before)]).toEqual([true, true])
    const next = await ask(proxy.port, host, { agent })
    expect([next.status, next.headers['connection']]).toEqual([200, 'close'])
    await until(async () => !(await isOwnProcess(proxy.dataDir, before)), patienceMs, 'the end of the old process')
    expect(await later.router.mayLeadAsBefore()).toBe(false)
    agent.destroy()
  })

  it('may be an older Slipway’s, without a map that is known now: no request fails, and nothing is lost', async () => {
    await startServing()
    const config = join(proxy.dataDir, 'proxy/haproxy.cfg')
    const older = (await readFile(config, 'utf8'))
      .replace(/description slipway-.*/, 'description slipway-0123456789abcdef')
      .split('\n')
      .filter((line) => !/(timeouts|direct)\.map|http-request allow|use_backend app-direct/.test(line))
    await writeFile(config, older.join('\n'))
    const first = await pid()
    const replacing = { pids: [first], takeSockets: true }
    await launchProxy({ ...oldSettings, dataDir: proxy.dataDir, port: proxy.port }, replacing)
    await until(
      async () => (await tellProxy(proxy, 'show info')).includes('0123456789abcdef'),
      patienceMs,
      'the older one',
    )
    expect(await tellProxy(proxy, `show map ${mapFile('timeouts')}`)).toContain('Unknown map identifier')
    for (const map of ['timeouts', 'routes', 'direct']) await rm(mapFile(map))
    let [asked, failed, running] = [0, 0, true]
    const load = (async () => {
      for (; running; asked += 1) if (!(await serves())) failed += 1
    })()
    await until(() => asked > 10, patienceMs, 'the load')
    const later = proxy.again()
    await later.ensure()
    expect([first, 0]).not.toContain(await pid())
    const before = asked
    await until(() => asked > before + 10, patienceMs, 'more of the load')
    running = false
    await load
    expect(failed).toBe(0)
    expect((await later.router.read()).keys.get('e1')).toEqual({ set: 'r1', size: 1 })
    expect(await readFile(mapFile('routes'), 'utf8')).toContain('\ne1 r1/1\n')
    expect(await readFile(mapFile('direct'), 'utf8')).toMatch(/@e1$/m)
    await later.router.setTimeout('e1', 1_000)
    expect(await serves()).toBe(true)
  }, 60_000)

  it('writes again the map files that somebody has deleted', async () => {
    await startServing()
    const maps = ['hosts', 'routes', 'targets', 'timeouts', 'direct']
    const before = await Promise.all(maps.map((map) => readFile(mapFile(map), 'utf8')))
    for (const map of maps) await rm(mapFile(map))
    await proxy.again().ensure()
    expect(await Promise.all(maps.map((map) => readFile(mapFile(map), 'utf8')))).toEqual(before)
    expect(await serves()).toBe(true)
  })

  it('may listen on another port', async () => {
    await startServing()
    const port = await freePort()
    const later = proxy.again({ port })
    await later.ensure()
    expect((await ask(port, host)).status).toBe(200)
    await until(async () => (await status()) === 0, patienceMs, 'the end of the old port')
  })
})

describe('what goes wrong with it', () => {
  it('killed, it comes back each time, with its routes', async () => {
    const { logger, lines } = makeLogLines()
    await startServing({ logger })
    let back = 0
    proxy.watch(watching.signal, () => (back += 1))
    await until(serves, patienceMs, 'the start')
    for (let round = 1; round <= 3; round += 1) {
      process.kill(await pid(), 'SIGKILL')
      await until(async () => !(await serves()), patienceMs, 'the end')
      await until(serves, patienceMs, 'the return')
      await until(() => back === round, patienceMs, 'the call')
      expect((await proxy.router.read()).keys.get('e1')).toEqual({ set: 'r1', size: 1 })
    }
    expect(lines).toContain('warn proxy has ended; starting it again')
  })

  it('killed, it is back although nothing can be written: the disk may be full', async () => {
    await startServing()
    const written = async (): Promise<number[]> => {
      const files = ['haproxy.cfg', 'pages/failed.http', 'maps/routes.map', 'maps/timeouts.map']
      return Promise.all(files.map(async (file) => (await stat(join(proxy.dataDir, 'proxy', file))).ino))
    }
    const before = await written()
    proxy.watch(watching.signal, () => undefined)
    process.kill(await pid(), 'SIGKILL')
    await until(async () => !(await serves()), patienceMs, 'the end')
    await until(serves, patienceMs, 'the return')
    expect(await written()).toEqual(before)
  })

  it('killed while a map file is torn, it starts with what it was told', async () => {
    const { logger, lines } = makeLogLines()
    await startServing({ logger })
    await truncate(mapFile('routes'), 75)
    await writeFile(mapFile('hosts'), `${host} e9\n`)
    await rm(mapFile('targets'))
    proxy.watch(watching.signal, () => undefined)
    process.kill(await pid(), 'SIGKILL')
    await until(async () => !(await serves()), patienceMs, 'the end')
    await until(serves, patienceMs, 'the return')
    expect(lines).toContain('warn the proxy’s map files were written again')
  })

  it('with torn files a new start has only whole ones, and the rest comes back with replaceAll', async () => {
    await startServing()
    const before = await proxy.router.read()
    await proxy.stop()
    await truncate(mapFile('routes'), 75)
    const later = proxy.again()
    await later.ensure()
    expect((await later.router.read()).keys.size).toBe(0)
    expect((await later.router.read()).hosts.get(host)).toBe('e1')
    expect(await status()).toBe(503)
    await later.router.replaceAll(before)
    expect(await serves()).toBe(true)
  })

  it('with torn files a running one is believed', async () => {
    await startServing()
    await truncate(mapFile('routes'), 75)
    const later = proxy.again()
    await later.ensure()
    expect(await serves()).toBe(true)
    expect(await readFile(mapFile('routes'), 'utf8')).toContain('\ne1 r1/1\n')
  })

  it('frozen, it is told and no call hangs; afterwards its maps are right', async () => {
    const { logger, lines } = makeLogLines()
    await startServing({ logger })
    let back = 0
    proxy.watch(watching.signal, () => (back += 1))
    const frozen = await pid()
    process.kill(frozen, 'SIGSTOP')
    try {
      const begun = performance.now()
      await proxy.router.defineSet('r2', [backend.target]).catch((error: unknown) => error)
      const calls = [
        proxy.router.swap('e1', { set: 'r2', size: 1 }),
        proxy.router.read(),
        proxy.router.openConnections(backend.target),
      ]
      for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'unavailable' })
      await expect(proxy.again().ensure()).rejects.toMatchObject({ code: 'unavailable', hint: /kill -CONT/ as never })
      expect(performance.now() - begun).toBeLessThan(patienceMs)
      await until(() => lines.some((line) => line.startsWith('error proxy does not answer')), patienceMs, 'the message')
      expect(await isOwnProcess(proxy.dataDir, frozen)).toBe(true)
    } finally {
      process.kill(frozen, 'SIGCONT')
    }
    await until(() => back === 1, patienceMs, 'the call')
    expect((await proxy.router.read()).keys.get('e1')).toEqual({ set: 'r2', size: 1 })
    expect(await serves()).toBe(true)
  }, 60_000)

  it('without its socket it is replaced', async () => {
    await startServing()
    const before = await pid()
    proxy.watch(watching.signal, () => undefined)
    await rm(join(proxy.dataDir, 'run/proxy.sock'))
    // The pid file is gone for a moment.
    const another = async (): Promise<boolean> => ![before, 0].includes(await pid().catch(() => 0))
    await until(another, patienceMs, 'another process')
    await until(
      async () =>
        await proxy.router.read().then(
          () => true,
          () => false,
        ),
      patienceMs,
      'the socket',
    )
    await until(serves, patienceMs, 'an answer')
  })
})

describe('what keeps it from starting', () => {
  it('is told in a sentence when the port is taken, and leaves nothing running', async () => {
    await startServing()
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((done) => server.once('listening', done))
    const { port } = server.address() as { port: number }
    const dataDir = `${proxy.dataDir}/second`
    await expect(proxy.again({ dataDir, port }).ensure()).rejects.toMatchObject({
      code: 'unavailable',
      message: `Port ${port} on 127.0.0.1 is taken by another program.`,
      hint: /SLIPWAY_HTTP_PORT/ as never,
    })
    expect(await listOwnProcesses(dataDir)).toEqual([])
    // Another HAProxy neither: two would share the connections between them.
    await expect(proxy.again({ dataDir }).ensure()).rejects.toMatchObject({ message: /is taken/ as never })
    await new Promise((done) => server.close(done))
    expect(await serves()).toBe(true)
  })

  it('is told when HAProxy or the address is missing', async () => {
    await startServing()
    const dataDir = `${proxy.dataDir}/second`
    await expect(proxy.again({ dataDir, binary: '/nowhere/haproxy' }).ensure()).rejects.toMatchObject({
      message: 'HAProxy is not installed.',
    })
    await expect(proxy.again({ dataDir, bind: '203.0.113.1' }).ensure()).rejects.toMatchObject({
      message: '203.0.113.1 is no address of this machine.',
    })
  })
})
