import type { Command } from 'commander'
import type { RuntimeLogEventData, Status } from '../api-types.ts'
import { describeState } from '../describe-deploy.ts'
import { followEvents, readEvents, type StreamEvent } from '../event-stream.ts'
import { exits } from '../failure.ts'
import { detachOnInterrupt } from '../follow-deploy.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
  withJson,
} from '../session.ts'
import { readCount } from './deploys.ts'

interface LogsOptions extends CommonOptions {
  readonly follow?: boolean
  readonly lines?: string
  readonly since?: string
  readonly release?: string
  readonly process?: string
  readonly source?: string
}

export function addLogsVerb(program: Command, run: Run): void {
  const logs = program
    .command('logs')
    .argument('[env]', 'the environment (default: test)')
    .description('what the instances print and printed, also those that are gone')
    .option('-f, --follow', 'go on until Ctrl-C')
    .option('-n, --lines <n>', 'how many of the newest lines (default: 100; with --since 10000)')
    .option('--since <time>', 'not before: a time, or how long ago (90s, 10m, 2h, 3d)')
    .option('--release <v>', 'only of this release')
    .option(
      '--process <name>',
      'only this process, instance, job or release command: worker, worker.2, cron.x, release.x',
    )
    .option('--source <names>', 'app, router (requests) or deploy; several with commas (default: app)')
  withExample(
    withJson(withEnvironment(logs)).action(run<[string | undefined], LogsOptions>(showLogs)),
    'slipway logs live -f -n 20',
    'slipway logs live --since 2h --release v12 --source app,router',
  )
}

async function showLogs(session: Session, [name]: [string | undefined], options: LogsOptions): Promise<number> {
  const { out } = session
  const environment = chooseEnvironment(name, options)
  const path = environmentPath(await session.app(), environment)
  const query = `${path}/logs?${readQuery(options)}`
  const follow = options.follow === true
  const events = follow ? followLogs(session, query) : await readLogs(session, query)
  let count = 0
  for await (const { event, data } of events) {
    if (event !== 'line') continue
    count += 1
    const { at, source, release, instance, text } = data as RuntimeLogEventData
    if (out.json) out.dataLine({ at, source, release, instance, text })
    else out.logLine(`${at.slice(0, 19)}Z ${release === null ? '' : `${release} `}${instance} | ${text}`)
  }
  if (follow) return exits.detached
  if (count === 0) out.note(await whyNothing(session, { environment, path }, options))
  return exits.done
}

/** No line is no error: the environment may be new, or quiet. */
async function whyNothing(
  { client }: Session,
  { environment, path }: { environment: string; path: string },
  { source = 'app' }: LogsOptions,
): Promise<string> {
  const { running, lastDeploy } = await client().call<Status>('GET', `${path}/status`)
  if (lastDeploy === null) return `Nothing was deployed to ${environment} yet. To do so: slipway deploy ${environment}`
  if (running === null)
    return `Nothing of ${environment} went live yet; its newest deploy is ${lastDeploy.id} (${describeState(lastDeploy)}): slipway deploys log ${lastDeploy.id}`
  const onlyErrors = ' Of requests only those that failed are kept, unless the server has SLIPWAY_ROUTER_LOG=on.'
  return `There is no such line. What runs: slipway status ${environment}.${source.includes('router') ? onlyErrors : ''}`
}

function readQuery({ lines, since, release, process, source }: LogsOptions): string {
  const tail = lines === undefined ? (since === undefined ? 100 : 10_000) : readCount(lines, 10_000)
  const query = new URLSearchParams({ tail: String(tail) })
  for (const [name, value] of Object.entries({ since, release, process, source }))
    if (value !== undefined) query.set(name, value)
  return query.toString()
}

function followLogs({ client, out }: Session, query: string): AsyncIterable<StreamEvent> {
  return followEvents(client(), `${query}&follow=true`, {
    signal: detachOnInterrupt(),
    patient: false,
    onLost: (why) => out.note(`Connection lost (${why}) Trying again …`),
    onBack: () => out.note('Connected again.'),
  })
}

async function readLogs({ client }: Session, query: string): Promise<AsyncIterable<StreamEvent>> {
  const signal = AbortSignal.timeout(120_000)
  const accept = { accept: 'text/event-stream' }
  return readEvents(await client().open(`${query}&follow=false`, accept, { silentMs: 30_000, signal }))
}
