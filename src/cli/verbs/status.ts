import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Deploy, Overview, Status } from '../api-types.ts'
import { describeState, describeWhy } from '../describe-deploy.ts'
import { exits, Failure } from '../failure.ts'
import { detachOnInterrupt } from '../follow-deploy.ts'
import { describeProtection } from './envs.ts'
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
import { shortCommit } from '../../kernel/short-commit.ts'

interface StatusOptions extends CommonOptions {
  readonly all?: boolean
  readonly watch?: boolean
}

/** How often what is watched is asked for. */
const watchMs = 2_000

export function addStatusVerb(program: Command, run: Run): void {
  const all = '(default: all of the app)'
  const status = program
    .command('status')
    .argument('[env]', `the environment ${all}`)
    .description(
      'what runs, and what is not deployed yet: release, commit, health, last deploy, commits, changes, line',
    )
    .option('--all', 'all environments of all apps, briefly')
    .option('-w, --watch', 'of one environment, again and again until Ctrl-C')
  withExample(
    withJson(withEnvironment(status, all)).action(run<[string | undefined], StatusOptions>(showStatus)),
    'slipway status',
    'slipway status live',
    'slipway status --all',
  )
}

async function showStatus(session: Session, [name]: [string | undefined], options: StatusOptions): Promise<number> {
  const { out } = session
  if (options.all === true) return showAll(session, name)
  const app = await session.app()
  if (name === undefined && options.env === undefined) {
    const path = `/apps/${encodeURIComponent(app)}/status`
    const { environments } = await session.client().call<{ environments: Status[] }>('GET', path)
    out.data(environments)
    out.table(
      ['ENVIRONMENT', 'RUNS', 'COMMIT', 'SINCE', 'HEALTH', 'LAST DEPLOY', 'TO DEPLOY', 'URL'],
      environments.map(rowOf),
    )
    return exits.done
  }
  const path = `${environmentPath(app, chooseEnvironment(name, options))}/status?use=true`
  const show = async (before = ''): Promise<void> => {
    const status = await session.client().call<Status>('GET', path)
    if (out.isScreen) process.stdout.write(before)
    out.data(status)
    printStatus(out, status)
  }
  await show()
  if (options.watch !== true) return exits.done
  const left = detachOnInterrupt()
  while (!left.aborted) {
    await delay(watchMs, undefined, { signal: left }).catch(() => undefined)
    if (!left.aborted) await show(clearScreen)
  }
  return exits.detached
}

/** Cursor to the top, then everything below away. */
const clearScreen = '\u001b[H\u001b[2J'

async function showAll({ client, out }: Session, name: string | undefined): Promise<number> {
  if (name !== undefined) throw new Failure(exits.wrongUse, `--all or ${name}? Give one of them.`)
  const { environments } = await client().call<{ environments: Overview[] }>('GET', '/status')
  out.data(environments)
  if (environments.length === 0) out.line('No apps yet. Push, or: slipway apps create NAME')
  const rows = environments.map((one) => [
    one.app,
    one.environment,
    one.state,
    one.release ?? '-',
    ago(one.since),
    one.release === null
      ? '-'
      : progressOf(
          one.undeployed,
          one.unapplied,
          one.messages.some(({ code }) => code === 'no-branch'),
        ),
    one.messages.find(({ code }) => pressing.has(code))?.text ?? '',
  ])
  if (rows.length > 0) out.table(['APP', 'ENVIRONMENT', 'STATE', 'RUNS', 'SINCE', 'TO DEPLOY', ''], rows)
  return exits.done
}

/** One line of the table of an app's environments. */
export function rowOf({ environment, running, lastDeploy, undeployed, unapplied, messages }: Status): string[] {
  const hasNoBranch = messages.some(({ code }) => code === 'no-branch')
  return [
    nameOf(environment),
    running?.release ?? '-',
    running === null ? '-' : shortCommit(running.commit),
    ago(running?.since ?? null),
    running === null ? (environment.state === 'stopped' ? 'stopped' : '-') : describeHealth(running),
    lastDeploy === null ? '-' : `${lastDeploy.id} ${describeState(lastDeploy)}`,
    running === null ? '-' : progressOf(undeployed, unapplied, hasNoBranch),
    environment.url,
  ]
}

function nameOf({ name, held, lock, maintenance }: Status['environment']): string {
  const told = [
    ...(held ? ['held'] : []),
    ...(lock === null ? [] : ['locked']),
    ...(maintenance === null ? [] : ['maintenance']),
  ]
  return told.length === 0 ? name : `${name} (${told.join(', ')})`
}

/** How far the branch and the settings are ahead, briefly. */
function progressOf(undeployed: number | null, unapplied: Status['unapplied'], hasNoBranch: boolean): string {
  const parts = [
    ...(undeployed === null ? [hasNoBranch ? 'no branch' : '?'] : []),
    ...(undeployed === null || undeployed === 0 ? [] : [`${undeployed} commit${undeployed === 1 ? '' : 's'}`]),
    ...(unapplied.length === 0 ? [] : ['changes']),
  ]
  return parts.length === 0 ? '-' : parts.join(', ')
}

function printStatus(out: Output, status: Status): void {
  const { environment, running, lastDeploy, line } = status
  out.facts([
    ['Environment', `${environment.name} of ${environment.app}`],
    ['URL', environment.url],
    ['Protected', describeProtection(environment)],
    [
      'Runs',
      running === null
        ? `nothing${lastDeploy === null ? ' yet' : ''}`
        : `${running.release} (${shortCommit(running.commit)}) since ${ago(running.since)}`,
    ],
    ['Pushes', environment.held ? `held: they deploy nothing until slipway deploy ${environment.name}` : null],
    ['Maintenance', environment.maintenance === null ? null : describeMaintenance(environment.maintenance)],
    ['Locked', environment.lock === null ? null : describeLock(environment.lock)],
    ['Health', running === null ? null : describeHealth(running)],
    ['Last deploy', lastDeploy === null ? null : describeDeploy(lastDeploy)],
    ['Error', lastDeploy?.error?.message ?? null],
    ['Its log', lastDeploy?.error == null ? null : `slipway deploys log ${lastDeploy.id}`],
  ])
  const told = status.messages.filter(({ code }) => !shownAbove.has(code))
  for (const { code, text } of told) {
    const how = code === 'revoked' ? `: slipway restart ${environment.name} -a ${environment.app}` : ''
    out.line(`${pressing.has(code) ? ' !     ' : '       '}${text}${how}`)
  }
  printToDeploy(out, status)
  printInstances(out, status)
  if (line.length === 0) return
  out.line()
  out.table(
    ['IN LINE', 'STATE', 'COMMIT', 'BY', 'PLACE'],
    line.map((one) => [
      String(one.id),
      describeState(one),
      shortCommit(one.commit),
      one.requestedBy,
      placeOf(one.ahead),
    ]),
  )
}

/** Said by the lines of the last deploy and of the lock. */
const shownAbove = new Set(['succeeded', 'failed', 'ended', 'locked', 'maintenance'])

/** What somebody should do something about. */
const pressing = new Set('maintenance locked crashed revoked failed commands-ran rewritten no-branch'.split(' '))

function describeLock({ by, since, reason, waits, allowsRollbacks }: NonNullable<Lock>): string {
  const how = `${waits ? 'deploys wait' : 'deploys are refused'}${allowsRollbacks ? ', rollbacks are not' : ''}`
  return `by ${by}, ${ago(since)}: “${reason}” (${how})`
}

type Lock = Status['environment']['lock']

function describeMaintenance({ by, since, message, allow }: NonNullable<Status['environment']['maintenance']>): string {
  const seen = allow.length === 0 ? '' : ` (seen from ${allow.join(', ')})`
  return `by ${by}, ${ago(since)}${message === '' ? '' : `: “${message}”`}${seen}`
}

/** During a swap those of both releases. */
function printInstances(out: Output, { environment, running, beside }: Status): void {
  const serving = running?.instances ?? []
  const rows = [
    ...serving.map((one) => rowOfInstance(one, one.state)),
    ...beside.flatMap(({ state, instances }) => instances.map((one) => rowOfInstance(one, `${one.state}, ${state}`))),
  ]
  if (rows.length === 0) return
  out.line()
  out.table(['INSTANCE', 'STATE', 'RESTARTS', 'STARTED', 'CPU', 'MEMORY'], rows)
  for (const one of serving) if (one.crash !== null) out.line(describeCrash(environment, one, one.crash))
}

function rowOfInstance({ name, restarts, startedAt, use }: Instance, state: string): string[] {
  const [cpu, memory] =
    use === null ? ['-', '-'] : [`${use.cpuPercent.toFixed(1)} %`, `${(use.memoryBytes / 1024 ** 2).toFixed(1)} MB`]
  return [name, state, String(restarts), ago(startedAt), cpu, memory]
}

/** What the next deploy would bring. */
function printToDeploy(out: Output, { commits, undeployed, unapplied, environment }: Status): void {
  if (commits.length === 0 && unapplied.length === 0) return
  const { app, name } = environment
  out.line()
  out.line(`The next deploy brings (slipway deploy ${name} -a ${app}):`)
  for (const { id, author, subject } of commits) out.line(`  ${shortCommit(id)} ${author}: ${subject}`)
  const more = (undeployed ?? 0) - commits.length
  if (more > 0) out.line(`  … and ${more} more`)
  for (const { what, names } of unapplied) out.line(`  ${what}: ${names.join(what === 'branch' ? ' → ' : ', ')}`)
}

function describeHealth({ health, instances }: NonNullable<Status['running']>): string {
  return instances.some(({ crash }) => crash?.isLoop === true) ? `${health}, crash loop` : health
}

type Instance = NonNullable<Status['running']>['instances'][number]

/** What happened, how often, and where its last words are. */
function describeCrash(
  { app, name }: Status['environment'],
  instance: Instance,
  crash: NonNullable<Instance['crash']>,
): string {
  const { since, exitCode, outOfMemory, startError, isLoop } = crash
  const how = outOfMemory ? 'for lack of memory' : exitCode === null ? 'without a word' : `with exit code ${exitCode}`
  const what = isLoop
    ? `ends again and again (${instance.restarts} times; known as a crash loop since ${ago(since)}), last ${how}`
    : `is down since ${ago(since)}; it ended ${how}`
  if (startError !== null) return ` !     ${instance.name} ${what}, and cannot be started again: ${startError}`
  return ` !     ${instance.name} ${what}. Its last lines: slipway logs ${name} -a ${app} -n 50`
}

function placeOf(ahead: number | null): string {
  if (ahead === null) return '-'
  return ahead === 0 ? 'next' : `after ${ahead} other${ahead === 1 ? '' : 's'}`
}

export function describeDeploy(deploy: Deploy): string {
  const release = deploy.release === null ? '' : ` (${deploy.release})`
  const why = deploy.from === null ? '' : `, ${describeWhy(deploy)}`
  return `${deploy.id} ${describeState(deploy)}${release}${why}, by ${deploy.requestedBy}, ${ago(deploy.finishedAt ?? deploy.createdAt)}`
}
