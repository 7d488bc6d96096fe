import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeFencedRouter } from '../../src/deploys/fenced-router.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { isDatabaseAway, makePool, type Pool } from '../../src/postgres/index.ts'
import type { Routes } from '../../src/routing/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { controlHost, startTestProxy, type TestProxy } from '../support/proxy.ts'
import { root } from '../support/root.ts'

const routes: Routes = {
  hosts: new Map([['h.example.org', 'e1']]),
  keys: new Map([['e1', { set: 'r1', size: 1 }]]),
  sets: new Map([['r1', [{ address: '127.0.0.1', port: 1 }]]]),
}
let database: TestDatabase
let pool: Pool

beforeEach(async () => {
  database = await createTestDatabase()
  pool = makePool(database.connection, { logger: silentLogger, size: 2 })
})
afterEach(async () => {
  await pool.close()
  await database.drop()
})

/** As when PostgreSQL is restarted, or the way to it breaks: the place is free, and its holder need not know. */
const endLockSession = (): Promise<unknown> =>
  pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = 'slipway lock' and datname = current_database()`,
  )

describe('the place of the server', () => {
  it('ends with its session, and another term of the same server is another one', async () => {
    expect(() => pool.term()).toThrow('is not held')
    let lost = 0
    await pool.holdServerLock(() => (lost += 1))
    const first = pool.term()
    await first()
    await endLockSession()
    for (const end = Date.now() + 10_000; lost === 0 && Date.now() < end; ) await delay(10)
    expect(lost).toBe(1)
    expect(() => pool.term()).toThrow('is not held')
    await pool.holdServerLock(() => undefined)
    // An answer of the last second still counts: nobody else does anything that soon.
    await delay(1_100)
    expect(isDatabaseAway(await first().catch((error: unknown) => error))).toBe(true)
    await pool.term()()
  })
})

describe('a proxy that ends while its server may lead nobody anew', () => {
  it('comes back as its map files say, which no refused change has touched', async () => {
    const proxy = await startTestProxy()
    const watching = new AbortController()
    try {
      await pool.holdServerLock(() => undefined)
      const router = makeFencedRouter(proxy.router, pool)
      await router.replaceAll(routes)
      await endLockSession()
      await delay(1_100)
      const others: Routes = { hosts: new Map(), keys: new Map(), sets: new Map() }
      await expect(router.replaceAll(others)).rejects.toThrow()
      await expect(router.swap('e1', { state: 'stopped' })).rejects.toThrow()
      const back = new Promise<void>((done) => proxy.watch(watching.signal, done))
      process.kill(Number(await readFile(join(proxy.dataDir, 'run/proxy.pid'), 'utf8')), 'SIGKILL')
      await back
      expect(await proxy.router.read()).toMatchObject(routes)
    } finally {
      watching.abort()
      await proxy.remove()
    }
  })
})

describe('a server that was frozen while it brought the proxy’s maps level', () => {
  let proxy: TestProxy
  let server: ChildProcess
  beforeEach(async () => {
    proxy = await startTestProxy()
  })
  afterEach(async () => {
    server.kill('SIGKILL')
    await proxy.remove()
  })

  it('writes nothing more when another one has its place', async () => {
    const given = {
      connection: database.connection,
      proxy: { dataDir: proxy.dataDir, port: proxy.port, controlHost, root },
    }
    server = spawn(process.execPath, [join(root, 'test/support/levelling-server.ts'), JSON.stringify(given)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(server, 'exit')
    const lines = createInterface({ input: server.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('half')
    server.kill('SIGSTOP')
    expect((await proxy.router.read()).sets.size).toBeGreaterThan(0)

    await endLockSession()
    expect(await pool.holdServerLock(() => undefined)).toBe(true)
    await makeFencedRouter(proxy.router, pool).replaceAll(routes)
    const led = await proxy.router.read()
    expect(led).toMatchObject(routes)

    server.kill('SIGCONT')
    const { value: outcome } = await lines.next()
    await ended
    expect(await proxy.router.read()).toEqual(led)
    expect(outcome).toContain('refused: ')
  })
})
