import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeProxy } from '../../src/adapters/haproxy/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { environmentKey, releaseSet, type Router, type Target } from '../../src/routing/index.ts'
import { type Load, type LoadCounts, type LoadPlan, startLoad } from './load.ts'
import { root } from './server.ts'
import { freePort } from './wait.ts'

export interface SwapResult {
  readonly swaps: number
  readonly seconds: number
  readonly own: LoadCounts
  readonly other: LoadCounts
  /** ms that `router.swap` took, files and reading back included. */
  readonly commandMs: readonly number[]
}

const rates = { keptAlivePerSecond: 250, newConnectionsPerSecond: 220, sockets: 50 }
/** Longer than any upgraded connection of the load lives: whatever is cut was cut by the swap. */
const drainMs = 5_000
const everyMs = 300

/**
 * Swaps through the real proxy adapter, each as a deploy makes it: new backend, its set, the swap, the old one drains and is
 * ended. Backends are processes of their own on loopback; a second environment on the same proxy sees the same swaps pass.
 */
export async function measureSwaps(swaps: number): Promise<SwapResult> {
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-bench-swap-'))
  const port = await freePort()
  const proxy = makeProxy({
    ...{ dataDir, bind: '127.0.0.1', port, controlHost: 'slipway.localhost', trustedProxies: [], root },
    logger: silentLogger,
  })
  const backends: Backend[] = []
  const start = async (version: number): Promise<Backend> => {
    const backend = await startBackend(`v${version}`)
    backends.push(backend)
    return backend
  }
  try {
    await proxy.ensure()
    let serving = await start(1)
    await route(proxy.router, { host: 'own.localhost', environment: 1, release: 1, target: serving.target })
    await route(proxy.router, { host: 'other.localhost', environment: 2, release: 2, target: (await start(1)).target })
    const begun = performance.now()
    const own = startLoad({ port, host: 'own.localhost', ...rates, socketLifeMs: 1_500 })
    const other = startLoad({ port, host: 'other.localhost', ...otherRates, socketLifeMs: null })
    await delay(1_000)
    const commandMs: number[] = []
    const draining: Promise<void>[] = []
    for (let i = 0; i < swaps; i += 1) {
      const next = await start(i + 2)
      commandMs.push(await swapTo(proxy.router, own, { release: i + 10, target: next.target, version: i + 2 }))
      draining.push(drain(proxy.router, serving))
      serving = next
      await delay(everyMs)
    }
    await Promise.all(draining)
    await Promise.all([own.stop(), other.stop()])
    const seconds = (performance.now() - begun) / 1000
    return { swaps, seconds, own: own.counts, other: other.counts, commandMs }
  } finally {
    for (const backend of backends) backend.end()
    await proxy.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

export const otherRates = { keptAlivePerSecond: 50, newConnectionsPerSecond: 50, sockets: 20 }
export const ownLoad = (port: number, host: string): LoadPlan => ({ port, host, ...rates, socketLifeMs: 1_500 })

async function route(
  router: Router,
  at: { host: string; environment: number; release: number; target: Target },
): Promise<void> {
  await router.defineSet(releaseSet(at.release), [at.target])
  await router.swap(environmentKey(at.environment), { set: releaseSet(at.release), size: 1 })
  await router.addHost(at.host, environmentKey(at.environment))
}

async function swapTo(
  router: Router,
  load: Load,
  to: { release: number; target: Target; version: number },
): Promise<number> {
  await router.defineSet(releaseSet(to.release), [to.target])
  const begun = performance.now()
  await router.swap(environmentKey(1), { set: releaseSet(to.release), size: 1 })
  const ms = performance.now() - begun
  load.current = to.version
  return ms
}

/** As `deploys/retire.ts` does it: until nothing is open or the time is over, then the end. */
async function drain(router: Router, old: Backend): Promise<void> {
  const deadline = performance.now() + drainMs
  while (performance.now() < deadline && (await router.openConnections(old.target)) !== 0) await delay(250)
  old.end()
}

interface Backend {
  readonly target: Target
  end(): void
}

async function startBackend(version: string): Promise<Backend> {
  const child = spawn(process.execPath, [join(root, 'test/bench/backend.mjs'), version], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await readPort(child)
  return { target: { address: '127.0.0.1', port }, end: () => void child.kill('SIGTERM') }
}

function readPort(child: ChildProcess): Promise<number> {
  return new Promise((done, fail) => {
    let text = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const port = /listening (\d+)/.exec(text)?.[1]
      if (port !== undefined) done(Number(port))
    })
    child.on('error', fail)
    child.on('exit', () => fail(new Error('A backend ended.')))
  })
}
