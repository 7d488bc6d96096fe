import type { Command } from 'commander'
import type { ChangedEnvironment, Deploy, Environment } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import { exitOfFollowed, followDeploy } from '../follow-deploy.ts'
import type { Output } from '../output.ts'
import { remove, type RemoveOptions } from '../remove.ts'
import { type LimitOptions, readLimits, setLimits } from './limits.ts'
import {
  chooseEnvironment,
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withApp,
  withEnvironment,
  withExample,
  withJson,
  withRemoval,
} from '../session.ts'

interface SetOptions extends CommonOptions, LimitOptions {
  readonly branch?: string
  readonly followDefault?: boolean
  readonly deployOnPush?: boolean
  readonly allowForcedPush?: boolean
  readonly supersede?: string
  readonly hold?: boolean
  readonly ifVersion?: string
}

interface AddOptions extends CommonOptions {
  readonly branch?: string
  readonly from?: string
  readonly deployOnPush?: boolean
}

export function addEnvironmentVerbs(program: Command, run: Run): void {
  const envs = program.command('envs').description('look at, add, change and remove environments')
  withExample(
    withJson(withApp(envs.command('list').description('the environments of an app'))).action(
      run<[], CommonOptions>(listEnvironments),
    ),
    'slipway envs list -a shop',
  )
  const add = envs
    .command('add')
    .argument('<name>', 'the new environment: a–z, 0–9 and single hyphens, at most 20')
    .description('add an environment, from scratch or like another one')
    .option('--branch <name>', 'follow this branch (default: that of --from, else the app’s default branch)')
    .option('--from <env>', 'like this one: its branch, variables and settings')
    .option('--deploy-on-push', 'a push to its branch deploys')
    .option('--no-deploy-on-push', 'a push to its branch does not deploy')
  withExample(
    withJson(withApp(add)).action(run<[string], AddOptions>(addEnvironment)),
    'slipway envs add qa --branch qa -a shop',
    'slipway envs add staging --from live',
  )
  withExample(
    withJson(withApp(envs.command('stop').argument('<name>', 'the environment')))
      .description('stop an environment: its address says so, its instances go')
      .action(run<[string], CommonOptions>(stopEnvironment)),
    'slipway envs stop qa',
  )
  withExample(
    withJson(withApp(envs.command('start').argument('<name>', 'the environment')))
      .description('start what a stopped environment served, and follow it; exit 1 unless it serves again')
      .option('--no-wait', 'return when it is in line')
      .action(run<[string], CommonOptions & { wait: boolean }>(startEnvironment)),
    'slipway envs start qa',
  )
  const removal = envs
    .command('remove')
    .argument('<name>', 'the environment')
    .description('remove an environment with its data, instances, images and logs')
  withExample(
    withRemoval(withJson(withApp(removal))).action(run<[string], RemoveOptions>(removeEnvironment)),
    'slipway envs remove qa -a shop',
    'slipway envs remove qa --yes --cancel',
  )
  const named = '(needed, here or as -e)'
  const set = envs
    .command('set')
    .argument('[env]', `the environment ${named}`)
    .description('change which branch an environment follows, and what a push does')
    .option('--branch <name>', 'follow this branch; turns deploy-on-push on')
    .option('--follow-default', 'follow the app’s default branch again')
    .option('--deploy-on-push', 'a push to its branch deploys')
    .option('--no-deploy-on-push', 'a push to its branch does not deploy')
    .option('--allow-forced-push', 'its branch may be pushed with force')
    .option('--no-allow-forced-push', 'its branch may not be pushed with force')
    .option('--hold', 'pushes deploy nothing here until somebody deploys by hand')
    .option('--no-hold', 'pushes deploy again, also after a rollback')
    .option(
      '--max-requests <n>',
      'open requests at each instance; more wait for a moment, then get 503; “none”: the usual bound',
    )
    .option(
      '--visitor-rate <n/s>',
      'requests of one visitor each second, over ten seconds; more get 429; “none”: no limit',
    )
    .option('--visitor-requests <n>', 'open requests of one visitor; more get 429; “none”: no limit')
    .option('--if-version <n>', 'only if nobody has changed it since this version (see --json)')
    .option(
      '--supersede <what>',
      'what a newer push takes the place of: a “waiting” one (usual), or also a “running” one before its release commands',
    )
  withExample(
    withJson(withEnvironment(set, named)).action(run<[string | undefined], SetOptions>(setEnvironment)),
    'slipway envs set live --branch master',
    'slipway envs set live --branch master --no-deploy-on-push',
    'slipway envs set test --supersede running',
    'slipway envs set live --max-requests 200 --visitor-rate 20/s',
  )
}

async function listEnvironments(session: Session): Promise<void> {
  const app = await session.app()
  const path = `/apps/${encodeURIComponent(app)}/environments`
  const { environments } = await session.client().call<{ environments: Environment[] }>('GET', path)
  session.out.data(environments)
  printEnvironments(session.out, environments)
}

export function printEnvironments(out: Output, environments: readonly Environment[]): void {
  out.table(
    ['NAME', 'FOLLOWS', 'ON PUSH', 'FORCED PUSH', 'PROTECTED', 'URL'],
    environments.map((one) => [
      describeName(one),
      describeBranch(one),
      describePush(one),
      one.allowForcedPush ? 'allowed' : 'refused',
      describeProtection(one),
      one.url,
    ]),
  )
}

function describeName({ name, live, state, lock, maintenance }: Environment): string {
  const told = [
    ...(live ? ['live'] : []),
    ...(state === 'active' ? [] : [state]),
    ...(lock === null ? [] : ['locked']),
    ...(maintenance === null ? [] : ['maintenance']),
  ]
  return told.length === 0 ? name : `${name} (${told.join(', ')})`
}

/** In a word or two: who may see it. */
export function describeProtection({ protection: { users, ranges, onlyReleases } }: Environment): string {
  const by = [...(users > 0 ? ['password'] : []), ...(ranges > 0 ? ['addresses'] : [])].join(' or ')
  if (by === '') return 'no'
  return onlyReleases ? `${by}, releases only` : by
}

function describeBranch(environment: Environment): string {
  if (environment.branch !== null) return environment.branch
  return environment.followedBranch === null ? 'the default branch' : `${environment.followedBranch} (default)`
}

function describePush({ deployOnPush, supersede, held, lock }: Environment): string {
  if (held) return 'held'
  if (lock !== null && deployOnPush) return lock.waits ? 'waits for the unlock' : 'nothing while locked'
  if (!deployOnPush) return 'nothing'
  return supersede === 'running' ? 'deploys, ends a running one' : 'deploys'
}

async function setEnvironment(session: Session, [name]: [string | undefined], options: SetOptions): Promise<void> {
  if (name === undefined && options.env === undefined) {
    throw new Failure(exits.wrongUse, 'Which environment?', 'Example: slipway envs set live --branch master')
  }
  const limits = readLimits(options)
  const change = readChange(options, limits !== null)
  const { out } = session
  const path = environmentPath(await session.app(), chooseEnvironment(name, options))
  if (change === null) {
    if (options.ifVersion !== undefined) {
      throw new Failure(exits.wrongUse, '--if-version is not for limits alone: they have no version.')
    }
    if (limits !== null) await setLimits(session, path, limits)
    return out.data(await session.client().call<Environment>('GET', path))
  }
  const headers: Record<string, string> =
    options.ifVersion === undefined ? {} : { 'if-match': `"${options.ifVersion}"` }
  const environment = await session.client().call<ChangedEnvironment>('PATCH', path, change, headers)
  // Only when nobody else has changed it.
  if (limits !== null) await setLimits(session, path, limits)
  out.data(environment)
  out.line(describeFollowing(environment))
  noteMissingBranch(out, environment)
  if (options.branch !== undefined && options.deployOnPush === undefined) {
    out.note('A branch of its own turned deploy-on-push on. To keep it off: --no-deploy-on-push')
  }
  out.note(`Forced pushes to its branch are ${environment.allowForcedPush ? 'allowed' : 'refused'}.`)
  if (environment.supersede === 'running') {
    out.note('A newer push also ends a running deploy of it that has not reached its release commands.')
  }
}

async function addEnvironment(session: Session, [name]: [string], options: AddOptions): Promise<void> {
  const { branch, from, deployOnPush } = options
  const { out } = session
  const path = `/apps/${encodeURIComponent(await session.app())}/environments`
  const wanted = { name, branch, from, deployOnPush }
  const added = await session.client().call<ChangedEnvironment>('POST', path, wanted)
  out.data(added)
  out.line(
    `Added ${added.name} to ${added.app}${from === undefined ? '' : `, like ${from}`}. It will be at ${added.url}`,
  )
  out.line(describeFollowing(added))
  noteMissingBranch(out, added)
  if (added.branchIsThere) out.note(`To deploy it now: slipway deploy ${added.name} -a ${added.app}`)
}

async function stopEnvironment(session: Session, [name]: [string]): Promise<void> {
  const { out } = session
  const path = environmentPath(await session.app(), name)
  const environment = await session.client().call<Environment>('POST', `${path}/stop`)
  out.data(environment)
  out.line(`${environment.name} of ${environment.app} is stopped: ${environment.url} says so.`)
  out.note(`To start it again: slipway envs start ${environment.name} -a ${environment.app}, or deploy to it.`)
}

async function startEnvironment(
  session: Session,
  [name]: [string],
  { wait }: CommonOptions & { wait: boolean },
): Promise<number> {
  const { out } = session
  const path = environmentPath(await session.app(), name)
  const deploy = await session.client().call<Deploy>('POST', `${path}/start`)
  if (!wait) {
    out.data(deploy)
    out.line(`In line. Follow it with: slipway deploys log ${deploy.id} -f`)
    return exits.done
  }
  const followed = await followDeploy(session, deploy.id, { after: 0, linesAreData: false, patient: true })
  if (followed !== null) out.data(followed)
  return exitOfFollowed(followed)
}

async function removeEnvironment(session: Session, [name]: [string], options: RemoveOptions): Promise<void> {
  const app = await session.app()
  const goes = `The environment ${name} of ${app} goes for good, with its data, instances, images and logs.`
  await remove(session, { path: environmentPath(app, name), name, title: `${name} of ${app}`, goes }, options)
}

function describeFollowing(environment: Environment): string {
  const push = environment.held
    ? 'it is held: a push to it does not deploy'
    : environment.deployOnPush
      ? 'a push to it deploys'
      : 'a push to it does not deploy'
  return `${environment.name} of ${environment.app} follows ${describeBranch(environment)}; ${push}.`
}

function noteMissingBranch(out: Output, { followedBranch, branchIsThere }: ChangedEnvironment): void {
  if (branchIsThere || followedBranch === null) return
  out.note(
    `There is no branch ${followedBranch} yet. It is followed as soon as it is pushed; until then nothing changes.`,
  )
}

/** Null when limits are all that is changed. */
function readChange(options: SetOptions, hasLimits: boolean): Record<string, unknown> | null {
  const { branch, followDefault, deployOnPush, allowForcedPush, supersede, hold, ifVersion } = options
  if (branch !== undefined && followDefault === true) {
    throw new Failure(exits.wrongUse, 'Either --branch or --follow-default, not both.')
  }
  if (supersede !== undefined && supersede !== 'waiting' && supersede !== 'running') {
    throw new Failure(exits.wrongUse, `--supersede takes “waiting” or “running”, not “${supersede}”.`)
  }
  if (ifVersion !== undefined && !/^[1-9][0-9]{0,8}$/.test(ifVersion)) {
    throw new Failure(exits.wrongUse, `--if-version takes the number of a version, not “${ifVersion}”.`)
  }
  const change = {
    ...(branch === undefined ? {} : { branch }),
    ...(followDefault === true ? { branch: null } : {}),
    ...(deployOnPush === undefined ? {} : { deployOnPush }),
    ...(allowForcedPush === undefined ? {} : { allowForcedPush }),
    ...(supersede === undefined ? {} : { supersede }),
    ...(hold === undefined ? {} : { held: hold }),
  }
  if (Object.keys(change).length > 0) return change
  if (hasLimits) return null
  throw new Failure(exits.wrongUse, 'Nothing to change was given.', 'See what can be: slipway envs set --help')
}
