import type { Command } from 'commander'
import type { App, AppWithEnvironments } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import { ago } from '../output.ts'
import { type CommonOptions, type Run, type Session, withApp, withExample, withJson, withRemoval } from '../session.ts'
import { remove, type RemoveOptions } from '../remove.ts'
import { printEnvironments } from './envs.ts'

interface CreateOptions extends CommonOptions {
  readonly environments?: string
}

interface SetOptions extends CommonOptions {
  readonly defaultBranch?: string
  readonly releaseAddresses?: string
}

export function addAppVerbs(program: Command, run: Run): void {
  const apps = program.command('apps').description('make and look at apps')
  withExample(
    withJson(apps.command('list').description('all apps')).action(run<[], CommonOptions>(listApps)),
    'slipway apps list',
  )
  withExample(
    withJson(
      apps
        .command('create')
        .argument('<name>')
        .description('make an app with its environments: test and live, or those named')
        .option(
          '--environments <names>',
          'others, with commas between them: the first deploys on push, the last is live; of one alone pushes go live',
        ),
    ).action(run<[string], CreateOptions>(createApp)),
    'slipway apps create shop',
    'slipway apps create shop --environments development,staging,production',
  )
  const show = apps.command('show').argument('[name]', 'the app (default: from the Git remotes of this folder)')
  withExample(
    withJson(withApp(show).description('an app, its environments and its Git URL')).action(
      run<[string | undefined], CommonOptions>(showApp),
    ),
    'slipway apps show shop',
  )
  const set = apps.command('set').argument('[name]', 'the app (default: from the Git remotes of this folder)')
  withExample(
    withJson(withApp(set).description('change an app'))
      .option(
        '--default-branch <name>',
        'what environments without a branch of their own follow, and a clone checks out',
      )
      .option(
        '--release-addresses <who>',
        'who may see the addresses of live’s releases: “off” nobody, “protected” whoever may see what live protects, “public” everybody',
      )
      .action(run<[string | undefined], SetOptions>(setApp)),
    'slipway apps set shop --default-branch main',
    'slipway apps set shop --release-addresses off',
  )
  const removal = apps
    .command('remove')
    .argument('<name>', 'the app')
    .description('remove an app with its environments, images and repository')
  withExample(
    withRemoval(withJson(removal)).action(run<[string], RemoveOptions>(removeApp)),
    'slipway apps remove shop',
  )
}

async function removeApp(session: Session, [name]: [string], options: RemoveOptions): Promise<void> {
  const goes = `The app ${name} goes for good, with all its environments, their data, images and logs, and its repository.`
  const path = `/apps/${encodeURIComponent(name)}`
  await remove(session, { path, name, title: `the app ${name}`, goes }, options)
}

async function listApps({ client, out }: Session): Promise<void> {
  const { apps } = await client().call<{ apps: App[] }>('GET', '/apps')
  out.data(apps)
  if (apps.length === 0) out.line('No apps yet. Make one with: slipway apps create NAME')
  else
    out.table(
      ['NAME', 'DEFAULT BRANCH', 'MADE'],
      apps.map((app) => [
        app.state === 'active' ? app.name : `${app.name} (${app.state})`,
        app.defaultBranch ?? '-',
        ago(app.createdAt),
      ]),
    )
}

async function createApp({ client, out }: Session, [name]: [string], options: CreateOptions): Promise<void> {
  const environments = options.environments?.split(',').map((one) => one.trim())
  const app = await client().call<AppWithEnvironments>('POST', '/apps', { name, environments })
  out.data(app)
  out.line(`Made ${app.name}. Deploy it with:`)
  out.line(`  git remote add divio ${app.gitUrl}`)
  out.line('  git push divio HEAD')
  if (environments === undefined) return
  for (const one of app.environments) {
    const push = one.deployOnPush
      ? 'pushes of the default branch deploy it'
      : `deploy it with: slipway deploy ${one.name}`
    out.note(`${one.name}${one.live ? ' is the live one' : ''}: ${push}`)
  }
}

async function showApp(session: Session, [name]: [string | undefined]): Promise<void> {
  const { client, out } = session
  const wanted = name ?? (await session.app())
  const app = await client().call<AppWithEnvironments>('GET', `/apps/${encodeURIComponent(wanted)}`)
  out.data(app)
  out.facts([
    ['App', app.name],
    ['Git', app.gitUrl],
    ['Default branch', app.defaultBranch ?? 'none yet: nothing was pushed'],
  ])
  out.line()
  printEnvironments(out, app.environments)
}

async function setApp(session: Session, [name]: [string | undefined], options: SetOptions): Promise<void> {
  const { client, out } = session
  const { defaultBranch, releaseAddresses } = options
  if (releaseAddresses !== undefined && !isReleaseAddresses(releaseAddresses)) {
    const message = `--release-addresses takes “off”, “protected” or “public”, not “${releaseAddresses}”.`
    throw new Failure(exits.wrongUse, message)
  }
  if (defaultBranch === undefined && releaseAddresses === undefined) {
    throw new Failure(exits.wrongUse, 'Nothing to change was given.', 'See what can be: slipway apps set --help')
  }
  const wanted = name ?? (await session.app())
  const change = { defaultBranch, releaseAddresses }
  const app = await client().call<AppWithEnvironments>('PATCH', `/apps/${encodeURIComponent(wanted)}`, change)
  out.data(app)
  if (defaultBranch !== undefined)
    out.line(`The default branch of ${app.name} is ${app.defaultBranch ?? '-'}. It stays, whatever branches arrive.`)
  if (releaseAddresses !== undefined) out.line(`The addresses of live’s releases: ${whoMay[app.releaseAddresses]}.`)
  printEnvironments(out, app.environments)
}

const whoMay: Readonly<Record<App['releaseAddresses'], string>> = {
  off: 'nobody may see them',
  protected: 'whoever may come with a password of live, or from an address that it lets in; without any, nobody',
  public: 'everybody may see them',
}

const isReleaseAddresses = (value: string): value is App['releaseAddresses'] => value in whoMay
