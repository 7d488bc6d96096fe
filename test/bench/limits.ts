import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeProxy } from '../../src/adapters/haproxy/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { environmentKey, releaseSet } from '../../src/routing/index.ts'
import { root } from './server.ts'
import { freePort } from './wait.ts'

export interface LimitsResult {
  /** p99 in ms of the quiet environment, one for each round: alone, and beside the flooded one. */
  readonly alone: readonly number[]
  readonly beside: readonly number[]
  /** Of the flood: those that the slow instance got at once, at most; those that were refused. */
  readonly mostOpen: number
  readonly refused: number
  readonly failures: number
}

/** More clients than its instance may have open requests, each at once again. */
const flooders = 400
const bound = 100
const quietPerSecond = 100

/**
 * A quiet environment beside one whose instance takes two seconds for each answer and is asked for all the time. Rounds alternate;
 * in the floor's the flooders rest.
 */
export async function measureLimits(rounds: number, seconds: number): Promise<LimitsResult> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-limits-'))
  const port = await freePort()
  const proxy = makeProxy({
    ...{ dataDir: dir, bind: '127.0.0.1', port, controlHost: 'slipway.localhost', trustedProxies: [], root },
    logger: silentLogger,
  })
  const flood = { open: 0, mostOpen: 0, refused: 0 }
  const quiet = await listen((_req, res) => void res.end('quiet'))
  const slow = await listen((_req, res) => {
    flood.open += 1
    flood.mostOpen = Math.max(flood.mostOpen, flood.open)
    const timer = setTimeout(() => res.end('slow'), 2_000)
    res.on('close', () => {
      clearTimeout(timer)
      flood.open -= 1
    })
  })
  const result = { alone: [] as number[], beside: [] as number[], failures: 0 }
  try {
    await proxy.ensure()
    const limits = { requests: bound, visitorRate: null, visitorRequests: null }
    await proxy.router.replaceAll({
      hosts: new Map([
        ['quiet.localhost', environmentKey(1)],
        ['slow.localhost', `${environmentKey(2)}/l/2`],
      ]),
      keys: new Map([1, 2].map((n) => [environmentKey(n), { set: releaseSet(n), size: 1 }])),
      sets: new Map([
        [releaseSet(1), [targetOf(quiet)]],
        [releaseSet(2), [targetOf(slow)]],
      ]),
      rules: new Map([[2, { passwords: [], allowed: [], limits }]]),
    })
    for (let round = 0; round < rounds; round += 1) {
      for (const side of round % 2 === 0 ? (['alone', 'beside'] as const) : (['beside', 'alone'] as const)) {
        const stop = side === 'beside' ? startFlood(port, flood) : async (): Promise<void> => undefined
        await delay(500)
        const { p99, failures } = await askQuietly(port, seconds)
        await stop()
        result[side].push(p99)
        result.failures += failures
      }
    }
  } finally {
    await proxy.stop()
    for (const server of [quiet, slow]) server.close().closeAllConnections()
    await rm(dir, { recursive: true, force: true })
  }
  return { ...result, mostOpen: flood.mostOpen, refused: flood.refused }
}

/** By the clock, whether or not the ones before were answered. */
async function askQuietly(port: number, seconds: number): Promise<{ p99: number; failures: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const answers: Promise<number | null>[] = []
  const begun = performance.now()
  for (let i = 0; i < seconds * quietPerSecond; i += 1) {
    const dueMs = begun + (i * 1000) / quietPerSecond
    await delay(Math.max(0, dueMs - performance.now()))
    const sent = performance.now()
    answers.push(
      askOne(port, 'quiet.localhost', agent).then((code) => (code === 200 ? performance.now() - sent : null)),
    )
  }
  const times = await Promise.all(answers)
  agent.destroy()
  const good = times.filter((ms) => ms !== null).sort((a, b) => a - b)
  return { p99: good[Math.floor(good.length * 0.99)] ?? Number.NaN, failures: times.length - good.length }
}

function startFlood(port: number, flood: { refused: number }): () => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: flooders })
  let going = true
  const visitors = Array.from({ length: flooders }, async () => {
    while (going) {
      if ((await askOne(port, 'slow.localhost', agent)) === 503) flood.refused += 1
      // As a browser's user would: not at once.
      await delay(200)
    }
  })
  return async () => {
    going = false
    await Promise.all(visitors)
    agent.destroy()
  }
}

/** The status; 0 without an answer. */
function askOne(port: number, host: string, agent: Agent): Promise<number> {
  return new Promise((done) => {
    const req = request({ host: '127.0.0.1', port, agent, headers: { host } }, (res) => {
      res.resume().once('end', () => done(res.statusCode ?? 0))
    })
    req.on('error', () => done(0)).end()
  })
}

async function listen(listener: Parameters<typeof createServer>[1]): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener).listen(0, '127.0.0.1', 1024)
  await new Promise((done) => server.once('listening', done))
  return server
}

function targetOf(server: Server): { address: string; port: number } {
  return { address: '127.0.0.1', port: (server.address() as AddressInfo).port }
}
