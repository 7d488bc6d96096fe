import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import type { ServerMessage } from '../../../src/kernel/attachment.ts'
import { SlipwayError } from '../../../src/kernel/errors.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import type { Transaction } from '../../../src/postgres/database.ts'
import type { Attached, AttachedClient, AttachedSpec } from '../../../src/runtime/index.ts'
import { makeRuns, type Runs } from '../../../src/runs/index.ts'

const environment = { id: 1, appId: 1, app: 'shop', name: 'test' }
const terminal = { size: { columns: 80, rows: 24 }, term: 'xterm' }
const begin = (command: readonly string[] = ['env']) => runs.begin({ environment, command, terminal })

let runs: Runs
let served: 'well' | 'not' | 'without room'
let env: Record<string, string>
let started: AttachedSpec[]
let told: unknown[][]
/** For how many memory is held. */
let taken: number
beforeEach(() => {
  ;[served, env, started, told, taken] = ['well', {}, [], [], 0]
  const transaction = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> =>
    work({ inTransaction: true, query: async (_, values) => (told.push([...(values ?? [])]), []) })
  runs = makeRuns({
    db: { transaction, query: async () => [] },
    runtime: {
      async runAttached(spec) {
        started.push(spec)
        return attached
      },
      stop: async () => undefined,
      remove: async () => undefined,
    },
    async readOneOff() {
      if (served === 'not') throw new SlipwayError('conflict', 'Nothing serves there.')
      const limits = { memoryBytes: 1, cpus: 1, pids: 1 }
      return {
        releaseNumber: 7,
        container: { name: 'run', image: 'sha256:1', labels: {}, env, address: null, limits },
        async assertRoom() {
          if (served === 'without room') throw new SlipwayError('unavailable', 'Too little memory.')
          taken += 1
          return () => void (taken -= 1)
        },
      }
    },
    limits: { perEnvironment: 1, overall: 1, timeMs: 10_000 },
    logger: silentLogger,
  })
})
afterEach(() => void jest.useRealTimers())

const attached: Attached = {
  containerId: 'c1',
  write: async () => undefined,
  endInput: () => undefined,
  async *output() {
    yield { channel: 'stdout', content: Buffer.from('hello') }
  },
  resize: async () => undefined,
  signal: async () => undefined,
  exit: async () => ({ exitCode: 0, outOfMemory: false }),
  close: () => undefined,
}

function makeClient(): AttachedClient & { readonly heard: ServerMessage[] } {
  const heard: ServerMessage[] = []
  return {
    heard,
    gone: new AbortController().signal,
    listen: () => undefined,
    send: async () => undefined,
    tell: (message) => void heard.push(message),
    end: () => undefined,
  }
}

describe('the place of a run', () => {
  it('is given back when nothing serves there', async () => {
    served = 'not'
    await expect(begin()).rejects.toThrow('Nothing serves')
    served = 'well'
    expect(await begin()).toMatchObject({ releaseNumber: 7 })
  })

  it('is given back when nobody comes for it, and not while somebody is connected', async () => {
    jest.useFakeTimers()
    const { id } = await begin()
    await expect(begin()).rejects.toMatchObject({ code: 'unavailable' })
    jest.advanceTimersByTime(30_000)
    expect(runs.appOf(id)).toBeNull()
    const other = await begin()
    const connected = runs.connect(other.id, makeClient())
    jest.advanceTimersByTime(30_000)
    expect(runs.appOf(other.id)).toBe('shop')
    await connected
    expect(runs.has(other.id)).toBe(false)
  })

  it('is one client’s alone', async () => {
    const { id } = await begin()
    const first = runs.connect(id, makeClient())
    await expect(runs.connect(id, makeClient())).rejects.toMatchObject({ code: 'not_found' })
    await first
    expect([started.length, taken]).toEqual([1, 0])
  })
})

describe('a run', () => {
  it('is not started without the memory for it, and says so', async () => {
    served = 'without room'
    const client = makeClient()
    await runs.connect((await begin()).id, client)
    expect([client.heard, started, told]).toEqual([
      [{ type: 'failed', code: 'unavailable', detail: 'Too little memory.' }],
      [],
      [],
    ])
  })

  it('has the TERM of its terminal unless the app has one of its own', async () => {
    await runs.connect((await begin()).id, makeClient())
    env = { TERM: 'dumb' }
    await runs.connect((await begin()).id, makeClient())
    expect(started.map((spec) => spec.env['TERM'])).toEqual(['xterm', 'dumb'])
  })

  it('is told by its program, never by its words', async () => {
    await runs.connect((await begin(['mysql', '-psecret'])).id, makeClient())
    expect(told.map(([kind]) => kind)).toEqual(['run.started', 'run.ended'])
    expect(JSON.stringify(told)).toContain('mysql')
    expect(JSON.stringify(told)).not.toContain('secret')
  })
})
