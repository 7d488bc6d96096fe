import type { Command } from 'commander'
import type { QueuedDeploy, RollbackPlan } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import type { Output } from '../output.ts'
import { canAsk, confirm } from '../prompt.ts'
import {
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withEnvironment,
  withExample,
  withJson,
} from '../session.ts'
import { finishRequest } from './deploys.ts'
import { printDifferences, printLock } from '../print-differences.ts'
import { readChoice } from '../release-words.ts'

interface RollbackOptions extends CommonOptions {
  readonly keepVars?: boolean
  readonly plan?: boolean
  readonly hold: boolean
  readonly yes?: boolean
  readonly wait: boolean
}

export function addRollbackVerb(program: Command, run: Run): void {
  const rollback = program
    .command('rollback')
    .argument('[env]', 'the environment (default: test)')
    .argument('[release]', 'v7: one that has served (default: what served before the one that does)')
    .description('go back to an earlier release: its image, configuration and variables, as a new release')
    .option('--keep-vars', 'with the variables of today, not those of then')
    .option('--no-hold', 'pushes go on being deployed (else they wait until somebody deploys or promotes by hand)')
    .option('--plan', 'only show what would go back')
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'return when it stands in line')
  withExample(
    withJson(withEnvironment(rollback)).action(run<[string | undefined, string | undefined], RollbackOptions>(goBack)),
    'slipway rollback live --plan',
    'slipway rollback live',
    'slipway rollback live v7 --keep-vars --yes',
  ).addHelpText('after', about)
}

const about = `
Nothing is built and no release command runs: it is as fast as a start. It goes before whatever waits in line, and ends
pushes that wait or still build there (not with --no-hold). What release commands did to a database since is not undone;
they are listed.

Without a release it goes to the newest one that served before. A release that came by a rollback counts as the one that
was gone back to, so a second rollback goes further back, and never to what was gone back from.`

async function goBack(
  session: Session,
  words: [string | undefined, string | undefined],
  options: RollbackOptions,
): Promise<number> {
  const { out } = session
  const { environment, release } = readChoice(words, options)
  const path = environmentPath(await session.app(), environment)
  const body = { keepVariables: options.keepVars === true, hold: options.hold }
  const chosen = release === null ? '' : `&release=${release}`
  const query = `keepVariables=${body.keepVariables}&hold=${body.hold}${chosen}`
  const plan = await session.client().call<RollbackPlan>('GET', `${path}/rollback-plan?${query}`)
  printPlan(out, plan)
  const asks = options.plan !== true && options.yes !== true && canAsk()
  // Who is not asked reads them in the log of the deploy.
  if (options.plan === true || asks) for (const note of plan.notes) out.line(note)
  if (options.plan === true) {
    if (plan.lock?.allowsRollbacks !== true) printLock(out, plan.comparison.to.environment, plan.lock)
    out.data(plan)
    return exits.done
  }
  const { release: to } = plan.comparison.to
  if (asks && !(await confirm(`Take ${environment} back to ${to}?`))) {
    throw new Failure(exits.failed, 'Nothing went back.')
  }
  // What was shown, whatever serves by now.
  const asked = { ...body, release: to }
  return finishRequest(session, await session.client().call<QueuedDeploy>('POST', `${path}/rollbacks`, asked), options)
}

function printPlan(out: Output, { comparison }: RollbackPlan): void {
  const { from, to } = comparison
  out.line(`${to.environment} goes back from ${from.release} to ${to.release}`)
  printDifferences(out, comparison, {
    added: `Commits that come with ${to.release}`,
    removed: 'Commits that go',
    nothing: 'Nothing else differs.',
  })
  out.line()
}
