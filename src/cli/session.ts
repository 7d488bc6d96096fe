import type { Command } from 'commander'
import { type Client, makeClient } from './client.ts'
import { type ConfigFile, configPath, readConfigFile } from './config-file.ts'
import { exits, Failure } from './failure.ts'
import { makeOutput, type Output } from './output.ts'
import { parseServerUrl } from './server-url.ts'

/** What a verb works with. */
export interface Session {
  readonly out: Output
  readonly env: NodeJS.ProcessEnv
  readonly version: string
  readonly config: ConfigFile
  /** A client of the server that this verb goes to, with its token. */
  readonly client: () => Client
  /** The client when there is a server to go to; null before the first login. */
  readonly clientOrNull: () => Client | null
  /** From -a, else from the Git remotes of the current folder. */
  readonly app: () => Promise<string>
}

export interface CommonOptions {
  readonly app?: string
  readonly env?: string
  readonly json?: boolean
}

export function openSession(options: CommonOptions, version: string): Session {
  const { env } = process
  const out = makeOutput({ json: options.json === true, env, streams: process })
  const config = readConfigFile(configPath(env))
  const given = env['SLIPWAY_URL'] ?? ''
  const origin = given === '' ? config.current : parseServerUrl(given)

  const clientOrNull = (): Client | null => {
    if (origin === null) return null
    return makeClient({ origin, token: tokenFor(config, origin, env), version, out })
  }
  const client = (): Client => {
    const found = clientOrNull()
    if (found === null || tokenFor(config, found.origin, env) === null) {
      const where = found === null ? '' : ` to ${found.origin}`
      const hint = `Sign in with: slipway login ${found?.origin ?? 'URL'}`
      throw new Failure(exits.notAllowed, `You are not signed in${where}.`, hint)
    }
    return found
  }

  return {
    out,
    env,
    version,
    config,
    client,
    clientOrNull,
    async app() {
      if (options.app !== undefined) return options.app
      const { findAppOfFolder } = await import('./git.ts')
      return findAppOfFolder(client().origin)
    },
  }
}

function tokenFor(config: ConfigFile, origin: string, env: NodeJS.ProcessEnv): string | null {
  const given = env['SLIPWAY_TOKEN'] ?? ''
  return given === '' ? (config.servers[origin]?.token ?? null) : checkToken(given)
}

/** Visible ASCII only: a token goes into headers and into Git's credential protocol. */
export function checkToken(token: string): string {
  if (/^[\x21-\x7e]{1,512}$/.test(token)) return token
  if (token === '') {
    throw new Failure(
      exits.wrongUse,
      'No token was given; an empty one is not a token.',
      'Type it where it is asked, or give it with SLIPWAY_TOKEN or --token.',
    )
  }
  throw new Failure(exits.wrongUse, 'This is not a token: it is too long, or holds spaces or control characters.')
}

/** The environment of a verb that takes it as [ENV] or as -e; `test` when neither is given. */
export function chooseEnvironment(argument: string | undefined, options: CommonOptions, fallback = 'test'): string {
  if (argument !== undefined && options.env !== undefined && argument !== options.env) {
    throw new Failure(exits.wrongUse, `${argument} or ${options.env}? Give the environment once.`)
  }
  return argument ?? options.env ?? fallback
}

export function environmentPath(app: string, environment: string): string {
  return `/apps/${encodeURIComponent(app)}/environments/${encodeURIComponent(environment)}`
}

/** Options that mean the same everywhere. */
export function withApp(command: Command): Command {
  return command.option('-a, --app <name>', 'the app (default: from the Git remotes of this folder)')
}
export function withEnvironment(command: Command, unless = '(default: test)'): Command {
  return withApp(command).option('-e, --env <name>', `the environment ${unless}`)
}
export function withJson(command: Command): Command {
  return command.option('--json', 'the data alone, as JSON, on standard output')
}
/** For what is removed for good. */
export function withRemoval(command: Command): Command {
  return command
    .option('-y, --yes', 'do not ask for the name')
    .option('--cancel', 'end deploys that run, instead of waiting for them')
    .option('--no-wait', 'do not wait until it is gone')
}
export function withExample(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
}

/** How verbs are made: the session is opened from their options, and their result is the exit code. */
export type Run = <A extends unknown[], O extends CommonOptions>(
  work: (session: Session, args: A, options: O) => Promise<number | void>,
) => (...given: unknown[]) => Promise<void>
