import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makePool } from '../../src/postgres/index.ts'
import { type Gate, makeGate } from '../support/gate.ts'
import { commitOf, makeSpine, type Spine } from '../support/spine.ts'

/*
 * SQLite's way: the N-th call to the database, the engine or the proxy goes wrong, for N = 1, 2, 3 … until a deploy gets through without
 * it. The queue, the plan, the runner and the database are real.
 */

let spine: Spine
let gates: Gate[]
let ran: string

beforeEach(async () => {
  spine = await makeSpine()
  gates = []
  before = 0
  ran = join(tmpdir(), `slipway-ran-${randomUUID()}`)
  const command = { label: 'once', run: `echo ran >> ${ran}; echo said`, on: ['deploy' as const], timeoutMs: 5000 }
  spine.config = { ...spine.config, releaseCommands: [command], drainMs: 50 }
  await spine.deploys.stop()
})
afterEach(async () => {
  await spine.close()
  for (const gate of gates) gate.open()
  await rm(ran, { force: true })
})

/** Every call costs half a second: `FAULTS=all` tries them all, otherwise every third or fifth. */
const step = (usually: number): number => (process.env['FAULTS'] === 'all' ? 1 : usually)

describe('at a call of a deploy', () => {
  // After a call takes effect is the same as before the next one.
  it('the server is killed: the next one brings the deploy to its end, with nothing done twice or left over', async () => {
    for (let at = 1; ; at += step(3)) {
      const gate = makeGate({ at, when: 'before', fails: null, forEver: true })
      gates.push(gate)
      // A life that dies while it starts is as good as any.
      const life = spine.succeed((tools) => gate.wrap(tools))
      life.catch(() => undefined)
      await Promise.race([life, untilHit(gate)])
      const id = await spine.push('test', commitOf(letter(at)))
      await Promise.race([untilEnded(id), untilHit(gate)])
      const survived = !gate.hit()
      void spine.deploys.stop()
      await spine.succeed()
      await expectAllWell(id, at)
      await spine.deploys.stop()
      if (survived) {
        expect(at).toBeGreaterThan(40)
        return
      }
    }
  })

  it.each([
    ['before it takes effect', 'before', 1],
    ['after it took effect', 'after', 3],
  ] as const)('the database is away for a moment, %s: the deploy goes live all the same', async (_, when, first) => {
    const dead = makePool({ host: '/nonexistent', port: 1 }, { logger: silentLogger, size: 1 })
    const away = (await dead.query('select 1').catch((error: unknown) => error)) as Error
    await dead.close()
    for (let at = first; ; at += step(5)) {
      const gate = makeGate({ at, when, fails: () => away, forEver: false })
      // Only the database: what the engine and the proxy do when they are away is theirs.
      await spine
        .succeed((tools) => ({ ...gate.wrap(tools), runtime: tools.runtime, router: tools.router }))
        .catch(() => undefined)
      if (!gate.hit()) {
        const id = await spine.push('test', commitOf(letter(at)))
        await expectAllWell(id, at)
      }
      await spine.deploys.stop()
      if (!gate.hit()) return
    }
  })
})

it('an instance that ends while it is to serve: the deploy fails, and the traffic is back where it was', async () => {
  await spine.succeed()
  await expectAllWell(await spine.push('test', commitOf('a')), 0)
  const routes = await spine.router.read()
  await spine.deploys.stop()
  const { runtime } = spine
  await spine.succeed((tools) => ({
    ...tools,
    runtime: {
      ...tools.runtime,
      async keepRunning(id) {
        await runtime.keepRunning(id)
        runtime.end(id, { exitCode: 9 })
      },
    },
  }))
  const id = await spine.push('test', commitOf('b'))
  await untilEnded(id)
  const [deploy] = await spine.db.query<{ state: string; error_message: string }>(
    'select state, error_message from deploys where id = $1',
    [id],
  )
  expect(deploy?.state).toBe('failed')
  expect(deploy?.error_message).toContain('The app ended with exit code 9 while it was checked.')
  const now = await spine.router.read()
  const key = [...routes.hosts].find(([host]) => host === 'test--shop.localhost')?.[1] as string
  expect(now.keys.get(key)).toEqual(routes.keys.get(key))
  expect(runtime.names()).toHaveLength(1)
})

const letter = (at: number): string => 'abcdef'[at % 6] as string

async function untilHit(gate: Gate): Promise<void> {
  while (!gate.hit()) await new Promise((done) => setTimeout(done, 2))
}

async function untilEnded(id: number): Promise<void> {
  await eventually(async () => {
    const open = await spine.db.query(`select 1 from deploys where id = $1 and state in ('waiting', 'running')`, [id])
    expect(open).toEqual([])
  })
}

let before = 0

async function expectAllWell(id: number, at: number): Promise<void> {
  try {
    await untilEnded(id)
    const [deploy] = await spine.db.query<{ state: string; release_id: number; error_message: string }>(
      'select state, release_id, error_message from deploys where id = $1',
      [id],
    )
    expect(deploy).toMatchObject({ state: 'live', error_message: null })
    const lines = await spine.db.query<{ seq: number; kind: string; text: string }>(
      'select seq, kind, text from deploy_log where deploy_id = $1 order by seq',
      [id],
    )
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1))
    expect(lines.filter(({ kind }) => kind === 'machine')).toHaveLength(1)
    expect(lines.filter(({ text }) => text === 'said')).toHaveLength(1)
    const times = (await readFile(ran, 'utf8')).split('\n').length - 1
    expect(times - before).toBe(1)
    before = times
    await eventually(async () => {
      expect(spine.runtime.names()).toHaveLength(1)
      const [serves] = await spine.db.query<{ container_id: string }>(
        'select container_id from instances where release_id = $1',
        [deploy?.release_id],
      )
      expect([...spine.runtime.kept]).toContain(serves?.container_id)
      const routes = await spine.router.read()
      const set = `d${id}`
      expect([...routes.keys.values()]).toEqual([
        { set, size: 1 },
        { set, size: 1 },
      ])
      expect([...routes.sets.keys()]).toEqual([set])
      // The environment's, the release's, and the one for all its other releases.
      expect(routes.hosts.size).toBe(3)
      const taken = await spine.db.query(`select 1 from addresses where instance_id is not null`)
      expect(taken).toHaveLength(1)
      await spine.db.query(`update addresses set reusable_at = now() where instance_id is null`)
    })
  } catch (error) {
    throw new Error(`at call ${at}: ${(error as Error).message}`, { cause: error })
  }
}

async function eventually(assertion: () => Promise<void>): Promise<void> {
  const end = Date.now() + 30_000
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}
