import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeProxy } from '../../src/adapters/haproxy/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { environmentKey, releaseSet, type Routes, type Target } from '../../src/routing/index.ts'
import { cpuMicros } from './process-figures.ts'
import { findListener, root } from './server.ts'
import { freePort, waitFor } from './wait.ts'

const run = promisify(execFile)

export const environments = 10_000

export interface ProxyingRounds {
  readonly environments: number
  /** How many of them are asked for. */
  readonly asked: number
  /** µs of CPU for each request. */
  readonly slipway: readonly number[]
  readonly bare: readonly number[]
  /** Requests each second, for orientation: the load's own cost and the backend's share the machine. */
  readonly slipwayRate: readonly number[]
  readonly bareRate: readonly number[]
  /** Answers other than 200. */
  readonly failures: number
}

/**
 * CPU of the proxy for each request, kept alive, random hosts out of those that are asked for: Slipway's whole configuration against
 * the shortest HAProxy with one fixed server. The same binary, threads, backend and load; rounds alternate.
 */
export async function measureProxying(rounds: number, seconds: number, asked: number): Promise<ProxyingRounds> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-proxying-'))
  const [port, barePort, backendPort] = [await freePort(), await freePort(), await freePort()]
  const proxy = makeProxy({
    ...{ dataDir: dir, bind: '127.0.0.1', port, controlHost: 'slipway.localhost', trustedProxies: [], root },
    logger: silentLogger,
  })
  const stop: (() => Promise<void>)[] = [proxy.stop]
  const result = { slipway: [], bare: [], slipwayRate: [], bareRate: [] } as Record<string, number[]>
  let failures = 0
  try {
    await proxy.ensure()
    stop.push(await startHaproxy(dir, 'backend', backendConfig(backendPort)))
    stop.push(await startHaproxy(dir, 'bare', bareConfig(barePort, backendPort)))
    await proxy.router.replaceAll(routesOf({ address: '127.0.0.1', port: backendPort }))
    const script = join(dir, 'hosts.lua')
    await writeFile(script, hostsScript(asked))
    const sides = [
      { name: 'bare', port: barePort },
      { name: 'slipway', port },
    ]
    for (let round = 0; round <= rounds; round += 1) {
      // Who goes first changes, so that a drift of the machine's load favours neither.
      for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
        const one = await measureOne(side.port, script, round === 0 ? 1 : seconds)
        failures += one.failures
        if (round === 0) continue
        result[side.name]?.push(one.microsPerRequest)
        result[`${side.name}Rate`]?.push(one.rate)
      }
    }
  } finally {
    for (const end of stop.reverse()) await end()
    await rm(dir, { recursive: true, force: true })
  }
  return {
    environments,
    asked,
    failures,
    ...(result as unknown as Omit<ProxyingRounds, 'environments' | 'asked' | 'failures'>),
  }
}

async function measureOne(
  port: number,
  script: string,
  seconds: number,
): Promise<{ microsPerRequest: number; rate: number; failures: number }> {
  const pid = await findListener(port)
  const before = cpuMicros(pid)
  const { stdout } = await run('wrk', ['-t1', '-c32', `-d${seconds}s`, '-s', script, `http://127.0.0.1:${port}/`])
  const cpu = cpuMicros(pid) - before
  const [, requests = 0, failures = 0] = (/^counted (\d+) (\d+)$/m.exec(stdout) ?? []).map(Number)
  if (requests === 0) throw new Error(`wrk counted no requests:\n${stdout}`)
  return { microsPerRequest: cpu / requests, rate: requests / seconds, failures }
}

/** As the database would have them: each environment with its host, its release's host, and a set of one. */
function routesOf(target: Target): Routes {
  const numbers = Array.from({ length: environments }, (_, i) => i + 1)
  return {
    hosts: new Map(numbers.map((n) => [`test--app${n}.localhost`, environmentKey(n)])),
    keys: new Map(numbers.map((n) => [environmentKey(n), { set: releaseSet(n), size: 1 }])),
    sets: new Map(numbers.map((n) => [releaseSet(n), [target]])),
  }
}

function hostsScript(asked: number): string {
  return `local bad, all = 0, 0
function request()
  return wrk.format('GET', '/', { Host = 'test--app' .. (math.random(${asked}) * ${environments / asked}) .. '.localhost', ['User-Agent'] = 'bench', Accept = '*/*' })
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary)
  local e = summary.errors
  io.write(string.format('counted %d %d\\n', summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
`
}

const defaults = `defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
    http-reuse safe
`

function backendConfig(port: number): string {
  return `global
    nbthread 1
${defaults}frontend static
    bind 127.0.0.1:${port}
    http-request return status 200 content-type text/plain string "hello world\\n"
`
}

function bareConfig(port: number, backendPort: number): string {
  return `global
    fd-hard-limit 131072
${defaults}frontend bare
    bind 127.0.0.1:${port}
    default_backend app
backend app
    server app 127.0.0.1:${backendPort}
`
}

async function startHaproxy(dir: string, name: string, config: string): Promise<() => Promise<void>> {
  const file = join(dir, `${name}.cfg`)
  const port = Number(/bind 127\.0\.0\.1:(\d+)/.exec(config)?.[1])
  await writeFile(file, config)
  await run('/usr/sbin/haproxy', ['-D', '-f', file])
  const pid = await findListener(port)
  return async () => {
    process.kill(pid, 'SIGTERM')
    await waitFor(
      `the proxy “${name}” to end`,
      5_000,
      async () => (await findListener(port).catch(() => null)) === null,
    )
  }
}
