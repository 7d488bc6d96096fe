import type { Command } from 'commander'
import { makeClient } from '../client.ts'
import { writeConfigFile } from '../config-file.ts'
import { exits, Failure } from '../failure.ts'
import { askSecret, confirm } from '../prompt.ts'
import { isLoopbackHost, parseServerUrl } from '../server-url.ts'
import { checkToken, type CommonOptions, type Run, type Session, withExample, withJson } from '../session.ts'

interface LoginOptions extends CommonOptions {
  readonly token?: string
  readonly yes?: boolean
  readonly git: boolean
}

interface ServerAnswer {
  readonly version: string
  readonly url: string
  readonly signedInAs: string
}

export function addLoginVerbs(program: Command, run: Run): void {
  const login = program
    .command('login')
    .argument('[url]', 'the server (default: SLIPWAY_URL, else the last one)')
    .description('sign in to a server, and give Git the token')
    .option(
      '--token <token>',
      'the token (default: SLIPWAY_TOKEN, else it is asked for; others on this machine can see arguments)',
    )
    .option('--no-git', 'leave Git’s settings and passwords alone')
    .option('-y, --yes', 'answer yes to every question')
    .action(run<[string | undefined], LoginOptions>(signIn))
  withExample(withJson(login), 'slipway login http://slipway.localhost:8080')

  const logout = program
    .command('logout')
    .argument('[url]', 'the server (default: the one that verbs go to)')
    .description('forget the token of a server')
    .action(run<[string | undefined], CommonOptions>(signOut))
  withExample(logout, 'slipway logout')
}

async function signIn(session: Session, [url]: [string | undefined], options: LoginOptions): Promise<void> {
  const { out, env, config, version } = session
  const origin = chooseServer(session, url)
  const token = checkToken(await chooseToken(session, origin, options))
  const server = await makeClient({ origin, token, version, out }).call<ServerAnswer>('GET', '/server')
  writeConfigFile({ ...config, current: origin, servers: { ...config.servers, [origin]: { token } } })
  const git = options.git ? await tellGit(session, origin, { token, yes: options.yes === true }) : 'left alone'
  out.line(`Signed in to ${origin} as ${server.signedInAs} (Slipway ${server.version}).`)
  out.data({ url: origin, signedInAs: server.signedInAs, version: server.version, git })
  if ((env['SLIPWAY_URL'] ?? '') !== '') out.note('SLIPWAY_URL is set: it decides which server verbs go to.')
  if (new URL(origin).protocol === 'http:' && !isLoopbackHost(new URL(origin).hostname)) {
    out.note('Without HTTPS the token can be read on the way to the server.')
  }
}

function chooseServer({ env, config }: Session, url: string | undefined): string {
  const given = url ?? ((env['SLIPWAY_URL'] ?? '') === '' ? config.current : env['SLIPWAY_URL'])
  if (given === null || given === undefined) {
    throw new Failure(exits.wrongUse, 'Which server?', 'Example: slipway login http://slipway.localhost:8080')
  }
  return parseServerUrl(given)
}

/** A token that is known already is kept when it can still be used, so that `login URL` changes between servers. */
async function chooseToken(
  { out, env, config, version }: Session,
  origin: string,
  options: LoginOptions,
): Promise<string> {
  if (options.token !== undefined) return options.token
  const given = env['SLIPWAY_TOKEN'] ?? ''
  if (given !== '') return given
  const known = config.servers[origin]?.token
  if (known !== undefined) {
    const works = makeClient({ origin, token: known, version, out }).call('GET', '/server')
    const refused = await works.then(
      () => false,
      (error: unknown) => error instanceof Failure && error.exit === exits.notAllowed,
    )
    if (!refused) return known
  }
  return askSecret(`Token for ${origin}: `)
}

async function tellGit(
  session: Session,
  origin: string,
  { token, yes }: { token: string; yes: boolean },
): Promise<string> {
  const { approveCredential, hasCredentialHelper, isGitThere, useStoreHelper } = await import('../git-credential.ts')
  const { out } = session
  if (!(await isGitThere())) return 'no-git'
  if (!(await hasCredentialHelper(origin))) {
    const question = `Git keeps no passwords for ${origin}. Let it keep this token in ~/.git-credentials, for this server only?`
    if (!yes && !(await confirm(question))) return 'left alone'
    await useStoreHelper(origin)
    out.note(
      `Git keeps the token in ~/.git-credentials now, for ${origin} only (git config credential.${origin}.helper store).`,
    )
  }
  const result = await approveCredential(origin, token)
  if (result !== 'known')
    out.note('Git does not keep the token; when it asks for a password, give the token. The user can be anything.')
  return result
}

async function signOut(session: Session, [url]: [string | undefined]): Promise<void> {
  const { config, out } = session
  const origin = chooseServer(session, url)
  const known = config.servers[origin]
  if (known === undefined) {
    out.line(`You were not signed in to ${origin}.`)
    return
  }
  const servers = Object.fromEntries(Object.entries(config.servers).filter(([other]) => other !== origin))
  const current = config.current === origin ? (Object.keys(servers)[0] ?? null) : config.current
  writeConfigFile({ ...config, current, servers })
  const { rejectCredential } = await import('../git-credential.ts')
  await rejectCredential(origin, known.token)
  out.line(
    `Signed out of ${origin}.${current === null || current === config.current ? '' : ` Verbs go to ${current} now.`}`,
  )
}
