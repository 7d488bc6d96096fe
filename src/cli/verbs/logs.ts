import type { Command } from 'commander'
import type { RuntimeLogEventData } from '../api-types.ts'
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
  readonly lines: string
}

export function addLogsVerb(program: Command, run: Run): void {
  const logs = program
    .command('logs')
    .argument('[env]', 'the environment (default: test)')
    .description('what the running instances print')
    .option('-f, --follow', 'go on until Ctrl-C')
    .option('-n, --lines <n>', 'how many of the newest lines', '100')
  withExample(
    withJson(withEnvironment(logs)).action(run<[string | undefined], LogsOptions>(showLogs)),
    'slipway logs live -f -n 20',
  )
}

async function showLogs(session: Session, [name]: [string | undefined], options: LogsOptions): Promise<number> {
  const { out } = session
  const path = environmentPath(await session.app(), chooseEnvironment(name, options))
  const query = `${path}/logs?tail=${readCount(options.lines, 10_000)}`
  const follow = options.follow === true
  const events = follow ? followLogs(session, query) : await readLogs(session, query)
  let count = 0
  for await (const { event, data } of events) {
    if (event !== 'line') continue
    count += 1
    const { at, instance, text } = data as RuntimeLogEventData
    if (out.json) out.dataLine({ at, instance, text })
    else out.logLine(`${instance} | ${text}`)
  }
  if (follow) return exits.detached
  if (count === 0) out.note('Nothing was printed, or nothing runs. See: slipway status')
  return exits.done
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
