import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Counts of one environment under load. */
export interface LoadCounts {
  answered: number
  /** No answer, or another status than 200. */
  failed: number
  /** Answered by a version from before the newest swap, though asked after it was acknowledged. */
  stale: number
  newConnections: number
  opened: number
  /** Upgraded connections that ended, or stopped to echo, before their client closed them. */
  cut: number
  /** Upgrades that were not accepted. */
  refused: number
  /** ms of each answer. */
  readonly latencies: number[]
}

export interface LoadPlan {
  readonly port: number
  readonly host: string
  readonly keptAlivePerSecond: number
  readonly newConnectionsPerSecond: number
  readonly sockets: number
  /** How long an upgraded connection lives before its client closes it and opens the next; null: to the end. */
  readonly socketLifeMs: number | null
}

export interface Load {
  readonly counts: LoadCounts
  /** Set to what serves now right after a swap was acknowledged: `v7` and up. */
  current: number
  stop(): Promise<void>
}

/** An even, open load: requests go out by the clock, whether or not the ones before were answered. Loopback only. */
export function startLoad(plan: LoadPlan): Load {
  const counts: LoadCounts = {
    ...{ answered: 0, failed: 0, stale: 0, newConnections: 0, opened: 0, cut: 0, refused: 0 },
    latencies: [],
  }
  const over = new AbortController()
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const work = new Set<Promise<void>>()
  const load: Load = {
    counts,
    current: 0,
    async stop() {
      over.abort()
      await Promise.all([...work, ...sockets])
      agent.destroy()
    },
  }
  const begin = (with_: Agent | false): void => {
    const one = ask(plan, with_, load).finally(() => work.delete(one))
    work.add(one)
  }
  const rates: [number, () => void][] = [
    [plan.keptAlivePerSecond, () => begin(agent)],
    [
      plan.newConnectionsPerSecond,
      () => {
        counts.newConnections += 1
        begin(false)
      },
    ],
  ]
  for (const [perSecond, send] of rates) pace(perSecond, over.signal, send)
  const sockets = Array.from({ length: plan.sockets }, (_, i) => keepSocket(plan, counts, over.signal, i))
  return load
}

/** Calls `send` so often; what a late timer missed is sent at once. */
function pace(perSecond: number, signal: AbortSignal, send: () => void): void {
  if (perSecond === 0) return
  const begun = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    for (const due = ((performance.now() - begun) * perSecond) / 1000; sent < due; sent += 1) send()
  }, 5)
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

function ask({ port, host }: LoadPlan, agent: Agent | false, load: Load): Promise<void> {
  const { counts } = load
  const oldest = load.current
  const begun = performance.now()
  return new Promise((done) => {
    const req = request({ host: '127.0.0.1', port, headers: { host }, agent, timeout: 10_000 }, (res) => {
      let body = ''
      res.setEncoding('latin1')
      res.on('data', (text: string) => (body += text))
      res.on('error', () => fail())
      res.on('end', () => {
        if (res.statusCode !== 200) return fail()
        counts.answered += 1
        counts.latencies.push(performance.now() - begun)
        if (Number(body.trim().slice(1)) < oldest) counts.stale += 1
        done()
      })
    })
    const fail = (): void => {
      counts.failed += 1
      done()
    }
    req.on('timeout', () => req.destroy(new Error('no answer')))
    req.on('error', fail)
    req.end()
  })
}

/** One upgraded connection after the other, each echoing ten times a second. */
async function keepSocket(plan: LoadPlan, counts: LoadCounts, signal: AbortSignal, index: number): Promise<void> {
  while (!signal.aborted) {
    const socket = await upgrade(plan)
    if (socket === null) {
      counts.refused += 1
      await delay(50)
      continue
    }
    counts.opened += 1
    // Not all at the same time.
    const life = plan.socketLifeMs === null ? Number.POSITIVE_INFINITY : plan.socketLifeMs * (0.5 + (index % 10) / 10)
    if (!(await echo(socket, life, signal))) counts.cut += 1
    socket.destroy()
  }
}

async function echo(socket: Socket, lifeMs: number, signal: AbortSignal): Promise<boolean> {
  const begun = performance.now()
  let ended = false
  let received = ''
  socket.on('data', (chunk) => (received += chunk.toString('latin1')))
  socket.on('close', () => (ended = true))
  for (let i = 0; !signal.aborted && performance.now() - begun < lifeMs; i += 1) {
    received = ''
    const word = `ping ${i}`
    if (ended || socket.destroyed) return false
    socket.write(word)
    await delay(100)
    for (let waited = 0; received !== word; waited += 20) {
      if (ended || waited > 5_000) return false
      await delay(20)
    }
  }
  return true
}

function upgrade({ port, host }: LoadPlan): Promise<Socket | null> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    let head = ''
    const end = (result: Socket | null): void => {
      socket.removeAllListeners('data').setTimeout(0)
      socket.on('error', () => undefined)
      if (result === null) socket.destroy()
      done(result)
    }
    socket.setTimeout(10_000, () => end(null))
    socket.on('error', () => end(null))
    socket.on('close', () => end(null))
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      if (head.includes('\r\n\r\n')) end(head.startsWith('HTTP/1.1 101') ? socket : null)
    })
    socket.write(
      `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
  })
}
