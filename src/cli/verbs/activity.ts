import type { Command } from 'commander'
import type { ActivityEntry } from '../api-types.ts'
import { followEvents } from '../event-stream.ts'
import { exits, Failure } from '../failure.ts'
import { detachOnInterrupt } from '../follow-deploy.ts'
import { type CommonOptions, type Run, type Session, withApp, withExample, withJson } from '../session.ts'
import { readCount } from './deploys.ts'

interface ActivityOptions extends CommonOptions {
  readonly all?: boolean
  readonly by?: string
  readonly kind?: string
  readonly deploy?: string
  readonly before?: string
  readonly lines: string
  readonly follow?: boolean
  readonly export?: boolean
}

export function addActivityVerb(program: Command, run: Run): void {
  const activity = program
    .command('activity')
    .description('what was done: by whom, when, from where')
    .option('--all', 'over all apps of the server')
    .option('-e, --env <name>', 'only of this environment')
    .option('--by <name>', 'only of this person')
    .option('--kind <kind>', 'only of this kind: deploy, push, vars …, or deploy.failed')
    .option('--deploy <id>', 'only of this deploy')
    .option('-n, --lines <n>', 'how many of the newest', '20')
    .option('--before <id>', 'go on behind this entry of an earlier page')
    .option('-f, --follow', 'what is done from now on, until Ctrl-C')
    .option('--export', 'all there is, as JSON lines, the newest first')
  withExample(
    withJson(withApp(activity)).action(run<[], ActivityOptions>(showActivity)),
    'slipway activity -n 50 --kind deploy',
    'slipway activity --all --export > activity.jsonl',
  )
}

async function showActivity(session: Session, _: [], options: ActivityOptions): Promise<number> {
  if (options.all === true && options.env !== undefined) {
    throw new Failure(exits.wrongUse, '--env is of one app; --all is of every app. Give one of them.')
  }
  const app = options.all === true ? null : await session.app()
  const path = app === null ? '/activity' : `/apps/${encodeURIComponent(app)}/activity`
  const query = new URLSearchParams()
  const { env: environment, by, kind, deploy, before } = options
  for (const [name, value] of Object.entries({ environment, by, kind, deploy, before }))
    if (value !== undefined) query.set(name, value)
  if (options.export === true) return exportAll(session, `${path}?${query.toString()}`)
  if (options.follow === true) return follow(session, `${path}?${query.toString()}`, app === null)
  query.set('limit', String(readCount(options.lines, 1000)))
  const page = await session
    .client()
    .call<{ entries: ActivityEntry[]; next: number | null }>('GET', `${path}?${query.toString()}`)
  session.out.data(page)
  if (page.entries.length === 0) session.out.note('Nothing of this kind was done.')
  for (const entry of page.entries.toReversed()) session.out.line(lineOf(entry, app === null))
  if (page.next !== null) session.out.note(`Older: the same with --before ${page.next}`)
  return exits.done
}

async function follow(session: Session, path: string, withAppNames: boolean): Promise<number> {
  const { out } = session
  const events = followEvents(session.client(), path, {
    signal: detachOnInterrupt(),
    patient: false,
    onLost: (why) => out.note(`Connection lost (${why}) Trying again …`),
    onBack: () => out.note('Connected again.'),
  })
  for await (const { event, data } of events) {
    if (event !== 'entry') continue
    if (out.json) out.dataLine(data)
    else out.line(lineOf(data as ActivityEntry, withAppNames))
  }
  return exits.detached
}

async function exportAll({ client }: Session, path: string): Promise<number> {
  const signal = AbortSignal.timeout(600_000)
  const stream = await client().open(path, { accept: 'application/x-ndjson' }, { silentMs: 30_000, signal })
  for await (const chunk of stream) {
    if (!process.stdout.write(chunk as Buffer)) await new Promise((done) => process.stdout.once('drain', done))
  }
  return exits.done
}

function lineOf(entry: ActivityEntry, withAppNames: boolean): string {
  const where = [withAppNames ? entry.app : null, entry.environment].filter((name) => name !== null).join('/')
  const from = entry.origin === null ? '' : ` (${entry.origin})`
  return `${entry.at.slice(0, 19)}Z  ${where === '' ? '' : `${where}  `}${entry.by}${from}: ${entry.what}`
}
