import type { Command } from 'commander'
import { shortCommit } from '../../kernel/short-commit.ts'
import type { PromotionPlan, QueuedDeploy } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import type { Output } from '../output.ts'
import { confirm } from '../prompt.ts'
import {
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withApp,
  withExample,
  withJson,
} from '../session.ts'
import { finishRequest } from './deploys.ts'
import { printCommits, printDifferences, printLock } from '../print-differences.ts'

interface PromoteOptions extends CommonOptions {
  readonly plan?: boolean
  readonly anyway?: boolean
  readonly rebuild?: boolean
  readonly yes?: boolean
  readonly wait: boolean
}

export function addPromoteVerb(program: Command, run: Run): void {
  const promote = program
    .command('promote')
    .argument('<from>', 'the environment whose release is taken')
    .argument('<to>', 'the environment that gets it')
    .description('put the very image that one environment serves into another, with that one’s own variables')
    .option('--plan', 'only show what would change')
    .option('--anyway', 'take the image although it was built with other variables than the target has')
    .option('--rebuild', 'build its commit again, with the variables of the target')
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'return when it stands in line')
  withExample(
    withJson(withApp(promote)).action(run<[string, string], PromoteOptions>(promoteRelease)),
    'slipway promote test live --plan',
    'slipway promote test live',
  ).addHelpText('after', about)
}

const about = `
Nothing is built. The release commands that are marked for promotions run (on: [promote] in slipway.yml; without "on" a
command is), then come the same start, checks and swap as with every deploy. If pushes to the target were held, they are not
any more.`

async function promoteRelease(
  session: Session,
  [from, to]: [string, string],
  options: PromoteOptions,
): Promise<number> {
  const { out } = session
  if (options.anyway === true && options.rebuild === true) {
    throw new Failure(
      exits.wrongUse,
      '--anyway takes the image as it is, --rebuild makes another: give one of the two.',
    )
  }
  const path = environmentPath(await session.app(), to)
  const plan = await session
    .client()
    .call<PromotionPlan>('GET', `${path}/promotion-plan?from=${encodeURIComponent(from)}`)
  printPlan(out, plan, options)
  if (options.plan === true) {
    printLock(out, to, plan.lock)
    out.data(plan)
    return exits.done
  }
  const isOther = plan.buildVariables.length > 0 && options.anyway !== true
  const isRefused = options.rebuild !== true && (plan.refusal !== null || isOther)
  // Of what is refused anyway nobody is asked.
  if (!isRefused && options.yes !== true && !(await confirm(`Promote ${from} ${plan.from.release} to ${to}?`))) {
    throw new Failure(exits.failed, 'Nothing was promoted.')
  }
  const body = {
    from,
    release: plan.from.release,
    anyway: options.anyway === true,
    rebuild: options.rebuild === true,
  }
  return finishRequest(session, await session.client().call<QueuedDeploy>('POST', `${path}/promotions`, body), options)
}

function printPlan(out: Output, plan: PromotionPlan, { rebuild, anyway }: PromoteOptions): void {
  const { from, to, comparison, firstCommits, buildVariables, refusal, commands, endsHold } = plan
  const what = `${from.environment} ${from.release} (${shortCommit(from.commit)})`
  out.line(
    `${what} goes to ${to}${comparison === null ? ', which serves nothing yet' : `, which serves ${comparison.from.release}`}`,
  )
  if (comparison !== null) {
    printDifferences(out, comparison, {
      added: 'Commits that come',
      removed: 'Commits that go',
      nothing: 'Nothing differs from what it serves.',
    })
  }
  if (firstCommits !== null) printCommits(out, 'Commits that come', firstCommits)
  out.line()
  out.line(`Image: ${rebuild === true ? 'built again' : 'the same, nothing is built'}; variables: those of ${to}`)
  out.line(`Release commands: ${commands.length === 0 ? 'none' : commands.join(', ')}`)
  if (buildVariables.length > 0 && rebuild !== true) {
    const refused = anyway === true ? '' : '. It is refused without --anyway or --rebuild'
    out.line(`The image was built with other values than ${to} has: ${buildVariables.join(', ')}${refused}`)
  }
  if (refusal !== null && rebuild !== true) {
    out.line(`It would be refused: ${refusal.message}`)
    if (refusal.hint !== null) out.line(refusal.hint)
  }
  if (endsHold) out.line(`Pushes to ${to} are held; after this they are deployed again.`)
}
