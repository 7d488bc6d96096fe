import { makeProxy } from '../../src/adapters/haproxy/index.ts'
import { makeFencedRouter } from '../../src/deploys/fenced-router.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { type Connection, makePool } from '../../src/postgres/index.ts'
import type { Routes } from '../../src/routing/index.ts'

/*
 * A server that brings the proxy's maps level and says when it is in the middle of that, where it takes its time: a process of its
 * own, to be frozen there. `node levelling-server.ts '{"connection":…,"proxy":…}'`
 */

interface Given {
  readonly connection: Connection
  readonly proxy: {
    readonly dataDir: string
    readonly port: number
    readonly controlHost: string
    readonly root: string
  }
}

const { connection, proxy: of } = JSON.parse(process.argv[2] ?? '') as Given
const pool = makePool(connection, { logger: silentLogger, size: 1 })
if (!(await pool.holdServerLock(() => undefined))) throw new Error('another server holds the place')
const proxy = makeProxy({ ...of, bind: '127.0.0.1', trustedProxies: [], logger: silentLogger })
await proxy.ensure()

const numbers = Array.from({ length: 40 }, (_, i) => 100 + i)
const routes: Routes = {
  hosts: new Map(numbers.map((n) => [`h${n}.example.org`, `e${n}`])),
  keys: new Map(numbers.map((n) => [`e${n}`, { set: `r${n}`, size: 1 }])),
  sets: new Map(numbers.map((n) => [`r${n}`, [{ address: '127.0.0.1', port: n }]])),
}
const term = pool.term()
let asked = 0
const outcome = await makeFencedRouter(proxy.router, pool)
  .replaceAll(routes, async () => {
    asked += 1
    if (asked === 20) {
      process.stdout.write('half\n')
      await new Promise((done) => setTimeout(done, 3_000))
    }
    await term()
  })
  .then(
    () => 'done',
    (error: unknown) => `refused: ${String(error)}`,
  )
process.stdout.write(`${outcome}\n`)
process.exit()
