import type { Command } from 'commander'
import type { Environment } from '../api-types.ts'
import { ifMatch, ifVersionOption, type VersionOptions } from '../if-version.ts'
import {
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withApp,
  withExample,
  withJson,
} from '../session.ts'

interface BeginOptions extends CommonOptions, VersionOptions {
  readonly message?: string
  readonly allow?: readonly string[]
}

export function addMaintenanceVerbs(program: Command, run: Run): void {
  const maintenance = program
    .command('maintenance')
    .description('show visitors a page that says that the site is being worked on; deploys go on behind it')
  const on = maintenance
    .command('on')
    .argument('<env>', 'the environment')
    .description('visitors get the page (503) at once; again: with another message, or seen by others')
    .option('--message <text>', 'what the page says, in a line (default: that it will be back soon)')
    .option('--allow <ranges...>', 'who comes from there sees the site, to look at it before it opens')
    .option(...ifVersionOption)
  withExample(
    withJson(withApp(on)).action(run<[string], BeginOptions>(beginMaintenance)),
    'slipway maintenance on live --message "Back at 14:00"',
    'slipway maintenance on live --allow 203.0.113.7',
  )
  const off = maintenance
    .command('off')
    .argument('<env>', 'the environment')
    .description('visitors see the site again')
    .option(...ifVersionOption)
  withExample(
    withJson(withApp(off)).action(run<[string], CommonOptions & VersionOptions>(endMaintenance)),
    'slipway maintenance off live',
  )
}

async function beginMaintenance(session: Session, [name]: [string], options: BeginOptions): Promise<void> {
  const { out } = session
  const path = `${environmentPath(await session.app(), name)}/maintenance`
  const { message, allow } = options
  const environment = await session.client().call<Environment>('POST', path, { message, allow }, ifMatch(options))
  out.data(environment)
  const { app, url, maintenance } = environment
  const words = maintenance?.message ?? ''
  out.line(`Visitors of ${url} are told that it is being worked on${words === '' ? '.' : `: “${words}”`}`)
  const seenFrom = maintenance?.allow ?? []
  if (seenFrom.length > 0) out.note(`Who comes from ${seenFrom.join(', ')} sees the site.`)
  out.note(`Open connections and downloads go on; deploys, too. To end it: slipway maintenance off ${name} -a ${app}`)
}

async function endMaintenance(
  session: Session,
  [name]: [string],
  options: CommonOptions & VersionOptions,
): Promise<void> {
  const { out } = session
  const path = environmentPath(await session.app(), name)
  const { maintenance } = await session.client().call<Environment>('GET', path)
  const environment = await session
    .client()
    .call<Environment>('DELETE', `${path}/maintenance`, undefined, ifMatch(options))
  out.data(environment)
  const { app, url } = environment
  out.line(maintenance === null ? `${name} of ${app} had no maintenance page.` : `Visitors see ${url} again.`)
}
