import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { isOwnProcess, listOwnProcesses } from '../../src/adapters/haproxy/launch.ts'
import { renderUnits, unitNames } from '../../src/setup/service/units.ts'
import {
  ask,
  type Backend,
  type Echoed,
  startEcho,
  startTestProxy,
  tellProxy,
  type TestProxy,
  until,
} from '../support/proxy.ts'
import { root } from '../support/root.ts'

const host = 'a.example.org'
let proxy: TestProxy
let backend: Backend
let keepers: ChildProcess[]

beforeEach(async () => {
  keepers = []
  // One that Slipway started itself, with a site.
  proxy = await startTestProxy()
  backend = await startEcho('one')
  await proxy.router.defineSet('r1', [backend.target])
  await proxy.router.swap('e1', { set: 'r1', size: 1 })
  await proxy.router.addHost(host, 'e1')
})
afterEach(async () => {
  for (const keeper of keepers) keeper.kill('SIGTERM')
  await backend.close()
  await proxy.stop()
  expect(await listOwnProcesses(proxy.dataDir)).toEqual([])
  await rm(proxy.dataDir, { recursive: true })
})

/** What systemd or a container does: runs it in the foreground. */
async function keep(options: Parameters<TestProxy['again']>[0] = {}): Promise<ChildProcess> {
  const { file, args, env } = await proxy.again(options).foreground(null)
  const keeper = spawn(file, args, { env, cwd: '/', stdio: 'ignore' })
  keepers.push(keeper)
  await once(keeper, 'spawn')
  return keeper
}
const kept = (more: Parameters<TestProxy['again']>[0] = {}) => proxy.again({ keptBy: 'systemd', ...more })
/**
 * Resolves when the keeper's worker serves and nothing of before is left. The master must answer, too: it ignores signals while
 * it starts, and two processes may also be one that starts and the one before it. systemd waits for that as well.
 */
const untilAlone = (keeper: ChildProcess) =>
  until(
    async () => {
      const own = await listOwnProcesses(proxy.dataDir)
      if (own.length !== 2 || !own.includes(keeper.pid ?? 0)) return false
      const told = await tellProxy(proxy, 'show proc;quit', 'proxy-master.sock').catch(() => '')
      return own.every((pid) => new RegExp(`^${pid} `, 'm').test(told))
    },
    20_000,
    'the old proxy to end',
  )

describe('a proxy that systemd or a container keeps', () => {
  it('takes the place of one that runs without a failed request, and Slipway finds it', async () => {
    const stop = load()
    const keeper = await keep()
    await untilAlone(keeper)
    expect(await stop()).toEqual({ failed: [], asked: expect.any(Number) })
    const slipway = kept()
    await slipway.ensure()
    expect((await slipway.router.read()).hosts.get(host)).toBe('e1')
    expect(await isOwnProcess(proxy.dataDir, keeper.pid ?? 0)).toBe(true)
  })

  it('takes other settings when Slipway has them, without a failed request, in the same process', async () => {
    const keeper = await keep()
    await untilAlone(keeper)
    const stop = load()
    await kept({ trustedProxies: ['127.0.0.1/32'] }).ensure()
    const answer = await ask(proxy.port, host, { headers: { 'x-forwarded-for': '192.0.2.9' } })
    expect((JSON.parse(answer.body) as Echoed).headers['x-forwarded-for']).toContain('192.0.2.9')
    expect(await stop()).toEqual({ failed: [], asked: expect.any(Number) })
    expect(keeper.exitCode).toBeNull()
  })

  it('is started anew by systemctl reload without a failed request, although Slipway reads what it tells', async () => {
    const keeper = await keep()
    await untilAlone(keeper)
    const over = new AbortController()
    void kept().requests?.follow(() => Promise.resolve(), over.signal)
    const worker = await workerOf(keeper)
    const stop = load()
    const facts = { installation: 'default', dataDir: proxy.dataDir, root, node: process.execPath, ownPostgres: true }
    const unit = renderUnits(facts).find(({ name }) => name === unitNames('default').proxy)
    const [, signal] = /^ExecReload=\/bin\/kill -(USR2) \$MAINPID$/m.exec(unit?.text ?? '') ?? []
    keeper.kill(`SIG${signal}` as NodeJS.Signals)
    await until(async () => !(await isOwnProcess(proxy.dataDir, worker)), 30_000, 'the old worker to end')
    await untilAlone(keeper)
    over.abort()
    expect(await workerOf(keeper)).not.toBe(worker)
    expect(await stop()).toEqual({ failed: [], asked: expect.any(Number) })
    expect(keeper.exitCode).toBeNull()
  })

  it('is waited for, and never started by Slipway', async () => {
    const first = await keep()
    await untilAlone(first)
    // As systemd and an engine do it: what is left of a dead service goes with it.
    for (const pid of await listOwnProcesses(proxy.dataDir)) process.kill(pid, 'SIGKILL')
    await until(async () => (await listOwnProcesses(proxy.dataDir)).length === 0, 30_000, 'the proxy to end')
    const ensuring = kept().ensure()
    await new Promise((done) => setTimeout(done, 300))
    expect(await listOwnProcesses(proxy.dataDir)).toEqual([])
    await keep()
    await ensuring
    expect((await ask(proxy.port, host)).status).toBe(200)
  })

  it('hands on to a process of its own before it is stopped for good', async () => {
    const keeper = await keep()
    await untilAlone(keeper)
    const stop = load()
    await proxy.again().detach()
    // As the unit is stopped: open requests finish.
    const ended = once(keeper, 'exit')
    keeper.kill('SIGUSR1')
    await ended
    expect(await stop()).toEqual({ failed: [], asked: expect.any(Number) })
    expect((await ask(proxy.port, host)).status).toBe(200)
  })
})

const workerOf = async (keeper: ChildProcess): Promise<number> =>
  (await listOwnProcesses(proxy.dataDir)).find((pid) => pid !== keeper.pid) ?? 0

/** Asks again and again, each time on a connection of its own; what failed is told when it is stopped. */
function load(): () => Promise<{ failed: string[]; asked: number }> {
  const failed: string[] = []
  let asked = 0
  let going = true
  const asking = (async () => {
    while (going) {
      asked += 1
      await ask(proxy.port, host).then(
        ({ status }) => (status === 200 ? undefined : failed.push(String(status))),
        (error: Error) => failed.push(error.message),
      )
      await new Promise((done) => setTimeout(done, 2))
    }
  })()
  return async () => {
    await new Promise((done) => setTimeout(done, 100))
    going = false
    await asking
    return { failed, asked }
  }
}
