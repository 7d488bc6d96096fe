import { afterEach, beforeEach, expect, it } from '@jest/globals'
import { Agent } from 'node:http'
import { isOwnProcess, launchProxy, listOwnProcesses } from '../../src/adapters/haproxy/launch.ts'
import type { RequestLine } from '../../src/logs/index.ts'
import { ask, type Backend, startBackend, startTestProxy, tellProxy, type TestProxy, until } from '../support/proxy.ts'

/*
 * A proxy that somebody else reloads or ends while Slipway runs: systemd, a container's engine, a person.
 */

const host = 'a.example.org'
/** What the old process may take although nothing is open any more; without a reader in the way it is some 50 ms. */
const soonMs = 5_000
let proxy: TestProxy
let backend: Backend
let over: AbortController
/** Lets the request for /slow be answered. */
let answer: () => void
let isAsked: boolean

beforeEach(async () => {
  over = new AbortController()
  answer = () => undefined
  isAsked = false
  proxy = await startTestProxy({ routerLog: 'on' })
  backend = await startBackend((req, res) => {
    if (req.url === '/slow') {
      isAsked = true
      answer = () => void res.end('slow')
    } else res.end('quick')
  })
  await proxy.router.defineSet('r1', [backend.target])
  await proxy.router.swap('e1', { set: 'r1', size: 1 })
  await proxy.router.addHost(host, 'e1')
})
afterEach(async () => {
  over.abort()
  await backend.close()
  await proxy.remove()
})

const pid = async (): Promise<number> => Number(/^Pid: (\d+)$/m.exec(await tellProxy(proxy, 'show info'))?.[1])

async function reloadByOthers(): Promise<{ before: number; after: number }> {
  const before = await pid()
  const settings = { binary: '/usr/sbin/haproxy', dataDir: proxy.dataDir, bind: '127.0.0.1', port: proxy.port }
  await launchProxy(settings, { pids: [before], takeSockets: true })
  await until(
    async () => ![before, Number.NaN].includes(await pid().catch(() => Number.NaN)),
    soonMs,
    'the new process',
  )
  return { before, after: await pid() }
}

function follow(): RequestLine[] {
  const lines: RequestLine[] = []
  const keep = async (more: readonly RequestLine[]): Promise<void> => void lines.push(...more)
  void proxy.requests?.follow(keep, over.signal)
  return lines
}

const has = (lines: readonly RequestLine[], path: string, process?: number): boolean =>
  lines.some((line) => line.path === path && (process === undefined || line.process === process))

it('reading its requests keeps no reloaded proxy alive, and misses nothing of the new one', async () => {
  const lines = follow()
  await ask(proxy.port, host, { path: '/before' })
  await until(() => has(lines, '/before'), soonMs, 'the first line')
  const slow = ask(proxy.port, host, { path: '/slow' })
  await until(() => isAsked, soonMs, 'the slow request')
  const { before, after } = await reloadByOthers()
  await ask(proxy.port, host, { path: '/after' })
  answer()
  await slow
  await until(async () => !(await isOwnProcess(proxy.dataDir, before)), soonMs, 'the end of the old process')
  await until(() => has(lines, '/after', after), soonMs, 'the line of the new process')
  await until(() => has(lines, '/slow', before), soonMs, 'the line of the old process')
  await ask(proxy.port, host, { path: '/later' })
  await until(() => has(lines, '/later', after), soonMs, 'the next line of the new process')
})

it('reading its requests holds up no proxy that is told to stop', async () => {
  const lines = follow()
  await ask(proxy.port, host, { path: '/before' })
  await until(() => has(lines, '/before'), soonMs, 'the first line')
  process.kill(await pid(), 'SIGUSR1')
  await until(async () => (await listOwnProcesses(proxy.dataDir)).length === 0, soonMs, 'the end of the process')
})

it('Slipway knows that a proxy which others have reloaded may lead a request as before, until the old process has ended', async () => {
  let back = 0
  proxy.watch(over.signal, () => (back += 1))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  await ask(proxy.port, host, { agent })
  expect(await proxy.router.mayLeadAsBefore()).toBe(false)
  const { before } = await reloadByOthers()
  await until(() => back === 1, soonMs, 'the call')
  expect(await isOwnProcess(proxy.dataDir, before)).toBe(true)
  expect(await proxy.router.mayLeadAsBefore()).toBe(true)
  expect(await proxy.router.openConnections(backend.target)).toBeNull()
  agent.destroy()
  await until(async () => !(await isOwnProcess(proxy.dataDir, before)), soonMs, 'the end of the old process')
  expect(await proxy.router.mayLeadAsBefore()).toBe(false)
})
