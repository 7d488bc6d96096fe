import type { Command } from 'commander'
import type { Processes, QueuedDeploy, ScaledProcesses } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import type { Output } from '../output.ts'
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
import { finishRequest } from './deploys.ts'

interface ScaleOptions extends CommonOptions {
  readonly now?: boolean
  readonly wait: boolean
  readonly ifVersion?: string
}

export function addProcessVerbs(program: Command, run: Run): void {
  const scale = program
    .command('scale')
    .argument('[env]', 'the environment (default: test)')
    .argument('[counts...]', 'process=number; process=default for what slipway.yml says')
    .description('how many instances each process has; without numbers: show them')
    .option('--now', 'apply it at once, by a deploy of the release that runs (else the next deploy does)')
    .option('--no-wait', 'with --now: return when the deploy stands in line')
    .option('--if-version <n>', 'only if nobody has changed the environment since this version (see --json)')
  withExample(
    withJson(withEnvironment(scale)).action(run<[string | undefined, string[]], ScaleOptions>(scaleProcesses)),
    'slipway scale live web=3 worker=2',
    'slipway scale live web=5 --now',
    'slipway scale live',
  )
  const restart = program
    .command('restart')
    .argument('[env]', 'the environment (default: test)')
    .description('start the release that runs anew, beside itself, and swap; no request is lost')
    .option('--no-wait', 'return when it stands in line')
  withExample(
    withJson(withEnvironment(restart)).action(
      run<[string | undefined], CommonOptions & { wait: boolean }>(restartEnvironment),
    ),
    'slipway restart live',
  )
}

async function scaleProcesses(
  session: Session,
  [first, more]: [string | undefined, string[]],
  options: ScaleOptions,
): Promise<number> {
  const { out } = session
  // The environment may be left out.
  const isCount = first?.includes('=') === true
  const name = chooseEnvironment(isCount ? undefined : first, options)
  const counts = isCount ? [first, ...more] : more
  const app = await session.app()
  const path = `${environmentPath(app, name)}/processes`
  if (counts.length === 0) {
    if (options.now === true)
      throw new Failure(exits.wrongUse, '--now goes with numbers: slipway scale live web=3 --now')
    const found = await session.client().call<Processes>('GET', path)
    out.data(found)
    printProcesses(out, found)
    return exits.done
  }
  const body = { processes: readCounts(counts), now: options.now === true }
  if (options.ifVersion !== undefined && !/^[1-9][0-9]{0,8}$/.test(options.ifVersion))
    throw new Failure(exits.wrongUse, `--if-version takes the number of a version, not “${options.ifVersion}”.`)
  const before = await session.client().call<Processes>('GET', path)
  const seen = options.ifVersion ?? String(before.version)
  const scaled = await session.client().call<ScaledProcesses>('PATCH', path, body, { 'if-match': `"${seen}"` })
  tellReplaced(out, before, scaled)
  if (scaled.deploy !== null) return finishRequest(session, scaled.deploy, options)
  out.data(scaled)
  printProcesses(out, scaled)
  if (scaled.processes.some(({ running, wanted }) => running !== wanted) && scaled.release !== null)
    out.note(`The next deploy of ${name} applies it. At once: slipway restart ${name} -a ${app}`)
  if (scaled.release === null) out.note(`Nothing was deployed to ${name} yet: its first deploy applies it.`)
  return exits.done
}

async function restartEnvironment(
  session: Session,
  [name]: [string | undefined],
  options: CommonOptions & { wait: boolean },
): Promise<number> {
  const path = environmentPath(await session.app(), chooseEnvironment(name, options))
  return finishRequest(session, await session.client().call<QueuedDeploy>('POST', `${path}/restarts`, {}), options)
}

/** `web=3`: what the number may be is the server's to say. */
export function readCounts(texts: readonly string[]): Record<string, number | null> {
  const counts: Record<string, number | null> = {}
  for (const text of texts) {
    const [, process = '', count = ''] = /^([^=]+)=(-?[\d,_]{1,12}|default)$/.exec(text) ?? []
    if (process === '') {
      throw new Failure(exits.wrongUse, `“${text}” is not process=number, like web=3 or worker=default.`)
    }
    if (process in counts) throw new Failure(exits.wrongUse, `${process} stands there twice.`)
    counts[process] = count === 'default' ? null : Number(count.replaceAll(/[,_]/g, ''))
  }
  return counts
}

/** What somebody else has asked for goes: whoever is last is told. */
function tellReplaced(out: Output, before: Processes, after: Processes): void {
  for (const { name, wanted, scaled } of before.processes) {
    const now = after.processes.find((process) => process.name === name)
    if (scaled !== null && now !== undefined && now.wanted !== wanted)
      out.note(`${name} was to have ${wanted}: ${scaled.by} asked for that at ${scaled.at}.`)
  }
}

function printProcesses(out: Output, { release, processes }: Processes): void {
  out.table(
    ['PROCESS', 'RUNNING', 'NEXT DEPLOY', 'COMMAND'],
    processes.map(({ name, running, wanted, scaled, run }) => [
      name,
      release === null ? '-' : String(running),
      `${wanted}${scaled === null ? ' (slipway.yml)' : ''}`,
      release === null ? '-' : (run ?? '(the image’s own)'),
    ]),
  )
}
