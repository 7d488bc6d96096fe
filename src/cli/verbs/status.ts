import type { Command } from 'commander'
import type { Deploy, Status } from '../api-types.ts'
import { describeState } from '../describe-deploy.ts'
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

export function addStatusVerb(program: Command, run: Run): void {
  const all = '(default: all of the app)'
  const status = program
    .command('status')
    .argument('[env]', `the environment ${all}`)
    .description('what runs: release, commit, health, last deploy, line')
  withExample(
    withJson(withEnvironment(status, all)).action(run<[string | undefined], CommonOptions>(showStatus)),
    'slipway status',
    'slipway status live',
  )
}

async function showStatus(session: Session, [name]: [string | undefined], options: CommonOptions): Promise<void> {
  const { out } = session
  const app = await session.app()
  if (name === undefined && options.env === undefined) {
    const path = `/apps/${encodeURIComponent(app)}/status`
    const { environments } = await session.client().call<{ environments: Status[] }>('GET', path)
    out.data(environments)
    out.table(['ENVIRONMENT', 'RUNS', 'COMMIT', 'SINCE', 'HEALTH', 'LAST DEPLOY', 'URL'], environments.map(rowOf))
    return
  }
  const path = `${environmentPath(app, chooseEnvironment(name, options))}/status`
  const status = await session.client().call<Status>('GET', path)
  out.data(status)
  printStatus(out, status)
}

function rowOf({ environment, running, lastDeploy }: Status): string[] {
  return [
    environment.name,
    running?.release ?? '-',
    running?.commit.slice(0, 10) ?? '-',
    ago(running?.since ?? null),
    running === null ? '-' : describeHealth(running),
    lastDeploy === null ? '-' : `${lastDeploy.id} ${describeState(lastDeploy)}`,
    environment.url,
  ]
}

function printStatus(out: Output, { environment, running, lastDeploy, line }: Status): void {
  out.facts([
    ['Environment', `${environment.name} of ${environment.app}`],
    ['URL', environment.url],
    [
      'Runs',
      running === null
        ? 'nothing yet'
        : `${running.release} (${running.commit.slice(0, 10)}) since ${ago(running.since)}`,
    ],
    ['Health', running === null ? null : describeHealth(running)],
    ['Last deploy', lastDeploy === null ? null : describeDeploy(lastDeploy)],
    ['Error', lastDeploy?.error?.message ?? null],
  ])
  if (running !== null && running.instances.length > 0) {
    out.line()
    out.table(
      ['INSTANCE', 'STATE', 'RESTARTS', 'STARTED'],
      running.instances.map((one) => [one.name, one.state, String(one.restarts), ago(one.startedAt)]),
    )
    for (const one of running.instances) if (one.crash !== null) out.line(describeCrash(environment, one, one.crash))
  }
  if (line.length === 0) return
  out.line()
  out.table(
    ['IN LINE', 'STATE', 'COMMIT', 'BY', 'PLACE'],
    line.map((one) => [
      String(one.id),
      describeState(one),
      one.commit.slice(0, 10),
      one.requestedBy,
      placeOf(one.ahead),
    ]),
  )
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
  const { since, exitCode, outOfMemory, isLoop } = crash
  const how = outOfMemory ? 'for lack of memory' : exitCode === null ? 'without a word' : `with exit code ${exitCode}`
  const what = isLoop
    ? `ends again and again (${instance.restarts} times; known as a crash loop since ${ago(since)}), last ${how}`
    : `is down since ${ago(since)}; it ended ${how}`
  return ` !     ${instance.name} ${what}. Its last lines: slipway logs ${name} -a ${app} -n 50`
}

function placeOf(ahead: number | null): string {
  if (ahead === null) return '-'
  return ahead === 0 ? 'next' : `after ${ahead} other${ahead === 1 ? '' : 's'}`
}

function describeDeploy(deploy: Deploy): string {
  const release = deploy.release === null ? '' : ` (${deploy.release})`
  return `${deploy.id} ${describeState(deploy)}${release}, by ${deploy.requestedBy}, ${ago(deploy.finishedAt ?? deploy.createdAt)}`
}
