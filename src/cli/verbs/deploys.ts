import type { Command } from 'commander'
import type { CancelledDeploy, Deploy, LogEventData, QueuedDeploy } from '../api-types.ts'
import { describeEnd, describeState, describeWhy } from '../describe-deploy.ts'
import { readEvents } from '../event-stream.ts'
import { exits, Failure } from '../failure.ts'
import { exitOfFollowed, followDeploy } from '../follow-deploy.ts'
import { ago, type Output } from '../output.ts'
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
import { noteBuildVariables, showPlan } from '../deploy-plan.ts'
import { shortCommit } from '../../kernel/short-commit.ts'

interface DeployOptions extends CommonOptions {
  readonly commit?: string
  readonly forceRebuild?: boolean
  readonly reuseImage?: boolean
  readonly contentFrom?: string
  readonly plan?: boolean
  readonly wait: boolean
}

export function addDeployVerbs(program: Command, run: Run): void {
  const deploy = program
    .command('deploy')
    .argument('[env]', 'the environment (default: test)')
    .description('deploy the newest commit of the followed branch, and follow it until it is live or failed')
    .option('--commit <name>', 'this commit instead: a branch, a tag, or the first 4 or more characters of its id')
    .option('--force-rebuild', 'build it although an image of the same commit and settings is kept')
    .option('--reuse-image', 'the image that serves, with the variables, scale and domains of today; nothing is built')
    .option('--content-from <env>', 'content of another environment before the release commands (there is none yet)')
    .option('--plan', 'only show what would be built or taken, and what would change')
    .option('--no-wait', 'return when it stands in line')
  withExample(
    withJson(withEnvironment(deploy)).action(run<[string | undefined], DeployOptions>(requestDeploy)),
    'slipway deploy live',
    'slipway deploy live --plan',
    'slipway deploy test --commit 1a2b3c4',
    'slipway deploy live --reuse-image',
  )

  const deploys = program.command('deploys').description('look at, follow and cancel deploys')
  const list = deploys
    .command('list')
    .argument('[env]', 'the environment (default: test)')
    .description('the newest deploys')
  withExample(
    withJson(withEnvironment(list))
      .option('-n, --lines <n>', 'how many', '20')
      .action(run<[string | undefined], CommonOptions & { lines: string }>(listDeploys)),
    'slipway deploys list live',
  )
  withExample(
    withJson(deploys.command('show').argument('<id>').description('one deploy')).action(
      run<[string], CommonOptions>(showDeploy),
    ),
    'slipway deploys show 12',
  )
  const log = deploys.command('log').argument('<id>').description('the log of a deploy')
  withExample(
    withJson(log)
      .option('-f, --follow', 'go on until it has ended; exit 1 unless it went live')
      .action(run<[string], CommonOptions & { follow?: boolean }>(showLog)),
    'slipway deploys log 12 -f',
  )
  const cancel = deploys
    .command('cancel')
    .argument('<id>')
    .description('end a deploy, and follow it until it has ended; what runs stays as it is')
    .option('--no-wait', 'return when it is asked to end')
  withExample(
    withJson(cancel).action(run<[string], CommonOptions & { wait: boolean }>(cancelDeploy)),
    'slipway deploys cancel 12',
  )
}

export async function requestDeploy(
  session: Session,
  [name]: [string | undefined],
  options: DeployOptions,
): Promise<number> {
  const environment = chooseEnvironment(name, options)
  const path = environmentPath(await session.app(), environment)
  const { commit, forceRebuild, reuseImage, contentFrom } = options
  const wish = { commit, forceRebuild, reuseImage, contentFrom }
  if (options.plan === true) return showPlan(session, path, wish)
  if (reuseImage === true) await noteBuildVariables(session, path, wish)
  return finishRequest(session, await session.client().call<QueuedDeploy>('POST', `${path}/deploys`, wish), options)
}

/** A deploy stands in line: follows it to its end, unless told not to wait. Exit 1 unless it went live. */
export async function finishRequest(
  session: Session,
  deploy: QueuedDeploy,
  options: { readonly wait: boolean },
): Promise<number> {
  const { out } = session
  // Whoever follows it reads the same as the first line of its log.
  if (!options.wait) {
    const what = `${deploy.app} ${shortCommit(deploy.commit)} to ${deploy.environment}`
    out.note(`Deploy ${deploy.id}: ${what}${placeOf(deploy.ahead)}`)
    out.data(deploy)
    out.line(`In line. Follow it with: slipway deploys log ${deploy.id} -f`)
    return exits.done
  }
  const followed = await followDeploy(session, deploy.id, { after: 0, linesAreData: false, patient: true })
  if (followed !== null) out.data(followed)
  return exitOfFollowed(followed)
}

function placeOf(ahead: number): string {
  if (ahead === 0) return ''
  return ahead === 1 ? ', after one other deploy' : `, after ${ahead} other deploys`
}

async function listDeploys(
  session: Session,
  [name]: [string | undefined],
  options: CommonOptions & { lines: string },
): Promise<void> {
  const path = environmentPath(await session.app(), chooseEnvironment(name, options))
  const limit = readCount(options.lines, 200)
  const { deploys } = await session.client().call<{ deploys: Deploy[] }>('GET', `${path}/deploys?limit=${limit}`)
  session.out.data(deploys)
  if (deploys.length === 0) session.out.line('No deploys yet. Push, or: slipway deploy')
  else session.out.table(['ID', 'STATE', 'RELEASE', 'BRANCH', 'COMMIT', 'BY', 'WHEN'], deploys.map(rowOf))
}

function rowOf(deploy: Deploy): string[] {
  const [branch, commit] = [deploy.branch ?? '-', shortCommit(deploy.commit)]
  const { id, release, requestedBy, createdAt } = deploy
  return [String(id), describeState(deploy), release ?? '-', branch, commit, requestedBy, ago(createdAt)]
}

async function showDeploy(session: Session, [id]: [string]): Promise<void> {
  const deploy = await session.client().call<Deploy>('GET', `/deploys/${readId(id)}`)
  session.out.data(deploy)
  printDeploy(session.out, deploy)
}

function printDeploy(out: Output, deploy: Deploy): void {
  out.facts([
    ['Deploy', String(deploy.id)],
    ['Environment', `${deploy.environment} of ${deploy.app}`],
    ['State', describeState(deploy)],
    ['Step', deploy.step],
    ['Release', deploy.release],
    ['Image', deploy.from === null ? null : `that of ${deploy.from.environment} ${deploy.from.release}`],
    ['Branch', deploy.branch],
    ['Commit', deploy.commit],
    ['Asked for', `by ${deploy.requestedBy}, ${ago(deploy.createdAt)}: ${describeWhy(deploy)}`],
    ['Begun', deploy.startedAt === null ? null : ago(deploy.startedAt)],
    ['Ended', deploy.finishedAt === null ? null : ago(deploy.finishedAt)],
    ['Replaced by', deploy.supersededBy === null ? null : `deploy ${deploy.supersededBy}`],
    ['Error', deploy.error?.message ?? null],
    ['Release commands', deploy.commandsRan && deploy.state !== 'live' ? 'ran, although it did not go live' : null],
  ])
}

async function showLog(
  session: Session,
  [text]: [string],
  options: CommonOptions & { follow?: boolean },
): Promise<number> {
  const id = readId(text)
  if (options.follow === true) {
    return exitOfFollowed(await followDeploy(session, id, { after: 0, linesAreData: true, patient: false }))
  }
  const { out } = session
  const signal = AbortSignal.timeout(120_000)
  const stream = await session
    .client()
    .open(`/deploys/${id}/log?follow=false`, { accept: 'text/event-stream' }, { silentMs: 30_000, signal })
  for await (const { event, data } of readEvents(stream)) {
    if (event === 'end') return exits.done
    if (event !== 'line') continue
    const { line, ...rest } = data as LogEventData
    if (out.json) out.dataLine(rest)
    else out.logLine(String(line))
  }
  throw new Failure(exits.failed, 'The server stopped before the end of the log.', 'Try again in a moment.')
}

async function cancelDeploy(
  session: Session,
  [text]: [string],
  options: CommonOptions & { wait: boolean },
): Promise<number> {
  const { out } = session
  const id = readId(text)
  const { logAfter, ...deploy } = await session
    .client()
    .call<CancelledDeploy>('POST', `/deploys/${id}/cancellation`, {})
  if (deploy.finishedAt !== null) {
    out.data(deploy)
    out.line(`Deploy ${id} is ${deploy.state}; it had not begun.`)
    return exits.done
  }
  const asked = `Deploy ${id} is asked to end; what runs stays as it is.`
  if (!options.wait) {
    out.data(deploy)
    out.line(asked)
    return exits.done
  }
  const onLeave = 'is still asked to end'
  const following = followDeploy(session, id, { after: logAfter, linesAreData: false, patient: true, onLeave })
  // Once it follows: whoever reads this may leave at once.
  out.note(asked)
  const ended = await following
  if (ended === null) return exits.detached
  out.data(ended)
  out.line(describeEnd(ended))
  return ended.state === 'live' ? exits.failed : exits.done
}

function readId(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new Failure(
    exits.wrongUse,
    `“${text}” is not the number of a deploy.`,
    'See the newest with: slipway deploys list',
  )
}

export function readCount(text: string, most: number): number {
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0
  if (value >= 1 && value <= most) return value
  throw new Failure(exits.wrongUse, `“${text}” is not a number from 1 to ${most}.`)
}
