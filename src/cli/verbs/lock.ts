import type { Command } from 'commander'
import type { Held, Unlocked } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import { ifMatch, ifVersionOption, type VersionOptions } from '../if-version.ts'
import { ago } from '../output.ts'
import {
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withApp,
  withExample,
  withJson,
} from '../session.ts'

interface LockOptions extends CommonOptions, VersionOptions {
  readonly reason?: string
  readonly wait?: boolean
  readonly allowRollbacks?: boolean
}

export function addLockVerbs(program: Command, run: Run): void {
  const lock = program
    .command('lock')
    .argument('<env>', 'the environment')
    .description(
      'hold an environment as it is: pushes, deploys, promotions and rollbacks are refused, with the reason; ' +
        'what runs goes on, and so do restarts, scaling and jobs',
    )
    .option('--reason <text>', 'why, in a line: everybody who is refused is told (needed)')
    .option('--wait', 'deploys wait in the line for the unlock, instead of being refused')
    .option('--allow-rollbacks', 'going back to an earlier release is let through')
    .option(...ifVersionOption)
  withExample(
    withJson(withApp(lock)).action(run<[string], LockOptions>(lockEnvironment)),
    'slipway lock live --reason "the big sale, until Monday"',
    'slipway lock live --reason "moving the database" --wait',
  )
  const unlock = program
    .command('unlock')
    .argument('<env>', 'the environment')
    .description('let the deploys of an environment go on; those that wait begin')
    .option(...ifVersionOption)
  withExample(
    withJson(withApp(unlock)).action(run<[string], CommonOptions & VersionOptions>(unlockEnvironment)),
    'slipway unlock live',
  )
}

async function lockEnvironment(session: Session, [name]: [string], options: LockOptions): Promise<void> {
  const { reason, wait = false, allowRollbacks = false } = options
  if (reason === undefined) {
    throw new Failure(
      exits.wrongUse,
      'Why is it locked? Whoever cannot deploy will want to know.',
      `Example: slipway lock ${name} --reason "the big sale, until Monday"`,
    )
  }
  const { out } = session
  const path = `${environmentPath(await session.app(), name)}/lock`
  const body = { reason, waits: wait, allowsRollbacks: allowRollbacks }
  const { environment, running, waiting } = await session.client().call<Held>('POST', path, body, ifMatch(options))
  out.data({ environment, running, waiting })
  const { app, lock } = environment
  out.line(`${name} of ${app} is locked: “${lock?.reason ?? ''}”`)
  out.note(
    wait
      ? 'Deploys wait in the line until it is unlocked.'
      : 'Deploys are refused; pushes are kept, and not deployed there.',
  )
  if (running !== null) out.note(`Deploy ${running} runs and goes on. To end it: slipway deploys cancel ${running}`)
  if (waiting.length > 0) out.note(`In the line until it is unlocked: ${listDeploys(waiting)}.`)
  out.note(`To unlock it: slipway unlock ${name} -a ${app}`)
}

async function unlockEnvironment(
  session: Session,
  [name]: [string],
  options: CommonOptions & VersionOptions,
): Promise<void> {
  const { out } = session
  const path = `${environmentPath(await session.app(), name)}/lock`
  const unlocked = await session.client().call<Unlocked>('DELETE', path, undefined, ifMatch(options))
  out.data(unlocked)
  const { environment, lock, waiting } = unlocked
  if (lock === null) return out.line(`${name} of ${environment.app} was not locked.`)
  out.line(`${name} of ${environment.app} is unlocked. ${lock.by} had locked it ${ago(lock.since)}: “${lock.reason}”`)
  if (waiting.length > 0) out.note(`What waited goes on: ${listDeploys(waiting)}.`)
}

function listDeploys(ids: readonly number[]): string {
  return `deploy${ids.length === 1 ? '' : 's'} ${ids.join(', ')}`
}
