import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { RequestHandler } from 'express'
import { type Accounts, assertMay } from '../accounts/index.ts'
import { authenticate } from './mount.ts'
import type { HttpNeeds } from './needs.ts'
import type { Streams } from './streams.ts'

interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter'
  readonly samples: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[]
}

type Needs = Pick<HttpNeeds, 'reads' | 'facts'> & { accounts: Accounts; streams: Streams }

/** Figures for Prometheus, in its text format. Wants a token: they tell how busy the server is. */
export function metricsHandler({ accounts, reads, facts, streams }: Needs): RequestHandler {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  return async (req, res) => {
    assertMay(await authenticate(req, accounts), 'server.read', null)
    const counts = await reads.countByState()
    const byState = Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }))
    const text = renderMetrics([
      gauge('slipway_info', 'The running version.', 1, { version: facts.version }),
      { name: 'slipway_deploys', help: 'Deploys by state.', type: 'gauge', samples: byState },
      gauge('slipway_open_streams', 'Followers of logs that are connected.', streams.count()),
      ...processMetrics(delay.percentile(99) / 1e9),
    ])
    delay.reset()
    res.status(200).type('text/plain; version=0.0.4').send(text)
  }
}

function processMetrics(eventLoopDelaySeconds: number): Metric[] {
  const { user, system } = process.cpuUsage()
  const cpu = { name: 'process_cpu_seconds_total', help: 'CPU time of the server.', type: 'counter' as const }
  return [
    { ...cpu, samples: [{ value: (user + system) / 1e6 }] },
    gauge('process_resident_memory_bytes', 'Resident memory of the server.', process.memoryUsage.rss()),
    gauge('process_start_time_seconds', 'When the server started.', Date.now() / 1000 - process.uptime()),
    gauge(
      'nodejs_eventloop_delay_p99_seconds',
      'Delay of the event loop since the last scrape.',
      eventLoopDelaySeconds,
    ),
  ]
}

function gauge(name: string, help: string, value: number, labels?: Record<string, string>): Metric {
  return { name, help, type: 'gauge', samples: [{ value, ...(labels === undefined ? {} : { labels }) }] }
}

export function renderMetrics(metrics: readonly Metric[]): string {
  return metrics
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map(
        ({ labels, value }) => `${name}${renderLabels(labels ?? {})} ${Number.isFinite(value) ? value : 0}`,
      ),
    ])
    .join('\n')
    .concat('\n')
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${value.replace(/[\\"\n]/g, '\\$&')}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
