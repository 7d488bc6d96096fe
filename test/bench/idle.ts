import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { callApi } from './api.ts'
import { cpuMicros, descendants, residentMb } from './process-figures.ts'
import { makePusher } from './pusher.ts'
import type { BenchServer } from './server.ts'

export interface IdleFigures {
  readonly environments: number
  /** Of Slipway's own process: after all deploys and the windows below, and some time after it was started again. MB. */
  readonly residentMb: number
  readonly residentAfterRestartMb: number
  /** Shares of a core in percent, for each window: Slipway, its proxy, its PostgreSQL. */
  readonly slipway: readonly number[]
  readonly proxy: readonly number[]
  readonly postgres: readonly number[]
  readonly windowSeconds: number
  /** From a start after `kill -9` until it is ready. */
  readonly restartMs: number
}

const pushesAtOnce = 3

/**
 * As many running environments as asked, half of them live ones, each with a container of its own, put there by real pushes
 * (two environments follow one branch). Then nothing happens for some windows but what Slipway does by itself.
 */
export async function measureIdle(
  server: BenchServer,
  options: { environments: number; windows: number; windowSeconds: number; settleSeconds: number },
): Promise<IdleFigures> {
  const apps = Array.from({ length: Math.ceil(options.environments / 2) }, (_, i) => `idle${i}`)
  const begun = performance.now()
  const lane = async (): Promise<void> => {
    for (let app = apps.shift(); app !== undefined; app = apps.shift()) await fill(server, app)
  }
  await Promise.all(Array.from({ length: pushesAtOnce }, lane))
  const [{ count } = { count: 0 }] = await server.sql<{ count: number }>(
    `select count(*)::int as count from instances where state = 'serving'`,
  )
  process.stdout.write(
    `  ${count} environments serve after ${((performance.now() - begun) / 1000).toFixed(0)} s; nothing happens now\n`,
  )
  await delay(options.settleSeconds * 1000)
  const shares = await measureWindows(server, options)
  const residentNow = residentMb(server.pid)?.now ?? Number.NaN
  const { begunMs, ready } = await server.restart()
  await ready
  const restartMs = performance.now() - begunMs
  await delay(options.settleSeconds * 1000)
  return {
    environments: count,
    residentMb: residentNow,
    residentAfterRestartMb: residentMb(server.pid)?.now ?? Number.NaN,
    ...shares,
    windowSeconds: options.windowSeconds,
    restartMs,
  }
}

async function fill(server: BenchServer, app: string): Promise<void> {
  await callApi(server, 'POST', 'apps', { name: app })
  await callApi(server, 'PATCH', `apps/${app}/environments/live`, { branch: 'main' })
  const pusher = await makePusher(`${server.controlUrl}/${app}.git`, server.token)
  try {
    await pusher.commit({
      Dockerfile:
        'FROM slipway-test/busybox:1\nCOPY www /www\nCMD ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
      'www/index.html': `${app}\n`,
      // Limits may add up to more than the machine has; what a start is expected to need may not.
      'slipway.yml': 'resources: { memory: 16m }\n',
    })
    await pusher.push('main')
  } finally {
    await pusher.remove()
  }
}

async function measureWindows(
  server: BenchServer,
  { windows, windowSeconds }: { windows: number; windowSeconds: number },
): Promise<Pick<IdleFigures, 'slipway' | 'proxy' | 'postgres'>> {
  const postmaster = Number.parseInt(readFileSync(join(server.dataDir, 'postgres/control/postmaster.pid'), 'utf8'), 10)
  const proxy = await server.proxyPid()
  const used = (pids: readonly number[]): Map<number, number> => new Map(pids.map((pid) => [pid, cpuOf(pid)]))
  const shares = { slipway: [] as number[], proxy: [] as number[], postgres: [] as number[] }
  for (let window = 0; window < windows; window += 1) {
    const read = () => ({
      slipway: used([server.pid]),
      proxy: used([proxy]),
      postgres: used([postmaster, ...descendants(postmaster)]),
    })
    const [before, begun] = [read(), performance.now()]
    await delay(windowSeconds * 1000)
    const [after, micros] = [read(), (performance.now() - begun) * 1000]
    for (const name of ['slipway', 'proxy', 'postgres'] as const) {
      // Of a process that came meanwhile all counts; of one that went, nothing.
      const spent = [...after[name]].reduce((sum, [pid, cpu]) => sum + cpu - (before[name].get(pid) ?? 0), 0)
      shares[name].push((spent / micros) * 100)
    }
  }
  return shares
}

function cpuOf(pid: number): number {
  try {
    return cpuMicros(pid)
  } catch {
    return 0
  }
}
