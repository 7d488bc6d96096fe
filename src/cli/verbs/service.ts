import type { Command } from 'commander'
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { Failure, exitOfProblem, exits } from '../failure.ts'
import { type CommonOptions, type Run, type Session, withExample, withJson } from '../session.ts'

interface InstallOptions extends CommonOptions {
  readonly start: boolean
}

export function addServiceVerbs(program: Command, run: Run): void {
  const service = program.command('service').description('Slipway as a service of this machine (systemd), for root')
  withExample(
    service
      .command('install')
      .description('make the units with the settings of this environment, and start them with the machine')
      .option('--no-start', 'do not start them now')
      .action(run<[], InstallOptions>(install)),
    'sudo slipway service install',
    'set -a; . ./.env; set +a; sudo -E slipway service install',
  )
  withExample(
    service
      .command('uninstall')
      .description('take the units away; sites go on serving')
      .action(run<[], CommonOptions>(uninstall)),
    'sudo slipway service uninstall',
  )
  withExample(
    withJson(service.command('status').description('the units and how they are')).action(run<[], CommonOptions>(show)),
    'slipway service status',
  )
}

async function install({ out }: Session, _: [], { start }: InstallOptions): Promise<number> {
  await onThisMachine((service, root) => service.installService({ root, start, say: (line) => out.note(line) }))
  return start ? showUnits(out) : exits.done
}

async function uninstall({ out }: Session): Promise<void> {
  await onThisMachine((service, root) => service.uninstallService({ root, say: (line) => out.note(line) }))
}

const show = ({ out }: Session): Promise<number> => showUnits(out)

async function showUnits(out: Session['out']): Promise<number> {
  const units = await onThisMachine((service) => service.listUnits({}))
  out.data(units)
  if (units.length === 0) {
    out.line('No service is installed. Install it with: sudo slipway service install')
    return exits.failed
  }
  out.table(
    ['UNIT', 'STATE', 'WITH THE MACHINE', 'PID', 'CAME BACK'],
    units.map(({ unit, active, enabled, pid, restarts }) => [
      unit,
      active,
      enabled ? 'yes' : 'no',
      pid === null ? '-' : String(pid),
      restarts === 0 ? '-' : `${restarts} times`,
    ]),
  )
  // What belongs to the machine's start has not been needed yet.
  const isWell = ({ active, once }: (typeof units)[number]): boolean =>
    active === 'active' || (once && active === 'inactive')
  return units.every(isWell) ? exits.done : exits.failed
}

type Service = typeof import('../../setup/service/service.ts')

/** What is of the server is loaded only for these verbs; its errors are told as all others. */
async function onThisMachine<T>(work: (service: Service, root: string) => Promise<T>): Promise<T> {
  const { asSlipwayError } = await import('../../kernel/errors.ts')
  try {
    // This command lies in Slipway's own folder, whatever link it was called by.
    const root = resolve(realpathSync(process.argv[1] ?? '.'), '../../..')
    return await work(await import('../../setup/service/service.ts'), root)
  } catch (error) {
    const { code, message, hint, evidence } = asSlipwayError(error)
    throw new Failure(exitOfProblem(code), [message, ...evidence].join(' | '), hint)
  }
}
