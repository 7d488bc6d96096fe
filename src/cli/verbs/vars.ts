import type { Command } from 'commander'
import { SlipwayError } from '../../kernel/errors.ts'
import { parseVariableName, parseVariableValue, shortestMasked } from '../../kernel/variables.ts'
import type { Variable } from '../api-types.ts'
import { DotenvError, type Pair, parseDotenv, writeDotenv } from '../dotenv.ts'
import { exitOfProblem, exits, Failure } from '../failure.ts'
import { ago, plain } from '../output.ts'
import { askSecret, readAllOfStdin } from '../prompt.ts'
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
import { requestDeploy } from './deploys.ts'

interface ChangeOptions extends CommonOptions {
  readonly secret?: boolean
  readonly build?: boolean
  readonly deploy?: boolean
  readonly raw?: boolean
}

export function addVarsVerbs(program: Command, run: Run): void {
  const vars = program
    .command('vars')
    .description('the variables of an environment; a change is applied by the next deploy')
  const verb = (name: string, description: string): Command =>
    withJson(withEnvironment(vars.command(name).description(description)))
  const withDeploy = (command: Command): Command => command.option('--deploy', 'deploy at once, and follow it')
  const withFlags = (command: Command): Command =>
    withDeploy(
      command
        .option('--secret', 'never show the value again, and mask it in logs')
        .option('--no-secret', 'an ordinary one')
        .option('--build', 'builds get it, too, as a build argument: it stays readable in the image’s history')
        .option('--no-build', 'builds do not get it'),
    )

  withExample(
    verb('list', 'all, with their values masked')
      .argument('[env]', 'the environment (default: test)')
      .action(run<[string | undefined], CommonOptions>(listVariables)),
    'slipway vars list live',
  )
  withExample(
    verb('get', 'the value of one, byte for byte').argument('<name>').action(run<[string], CommonOptions>(getVariable)),
    'slipway vars get -e live DATABASE_URL',
  )
  withExample(
    withFlags(verb('set', 'set some; of a name alone the value is asked, or read from standard input'))
      .argument('<name[=value]...>')
      .option('--raw', 'keep a line end at the end of standard input')
      .action(run<[string[]], ChangeOptions>(setVariables)),
    'slipway vars set -e live GREETING=hello LANG=de --deploy',
    'slipway vars set -e live STRIPE_KEY --secret < key.txt',
  )
  withExample(
    withDeploy(verb('unset', 'remove some'))
      .argument('<name...>')
      .action(run<[string[]], ChangeOptions>(unsetVariables)),
    'slipway vars unset -e live GREETING',
  )
  withExample(
    withFlags(verb('import', 'set those of a .env file; others stay as they are'))
      .argument('[file]', 'the file (default: standard input)')
      .action(run<[string | undefined], ChangeOptions>(importVariables)),
    'slipway vars import -e live production.env',
  )
  withExample(
    verb('export', 'all as a .env file, which imports back byte for byte; of secrets a comment')
      .argument('[env]', 'the environment (default: test)')
      .action(run<[string | undefined], CommonOptions>(exportVariables)),
    'slipway vars export live > live.env',
  )
  addRotationVerb(vars, run)
}

function addRotationVerb(vars: Command, run: Run): void {
  const rotate = vars
    .command('rotate-key')
    .description('seal the variables of all environments with a new key, while everything goes on; for the admin')
    .option('--secret-key', 'also put another secret key in the place of SLIPWAY_SECRET_KEY: asked, or standard input')
  withExample(
    withJson(rotate).action(run<[], CommonOptions & { secretKey?: boolean }>(rotateKey)),
    'slipway vars rotate-key',
    'openssl rand -base64 48 | slipway vars rotate-key --secret-key',
  )
}

const progressEveryMs = 500
const mostSilentMs = 15_000

async function rotateKey(session: Session, _: [], options: { secretKey?: boolean }): Promise<void> {
  const { out } = session
  const path = '/server/key-rotation'
  const body = options.secretKey === true ? { secretKey: await askSecret('The new secret key: ') } : {}
  const begun = await session.client().call<{ left: number; isKept: boolean }>('POST', path, body)
  if (!begun.isKept) {
    out.note(
      'From the next start on Slipway needs the new key in SLIPWAY_SECRET_KEY; the first start with it ends the old one.',
    )
  }
  for (let { left } = begun, movedMs = performance.now(); left > 0; ) {
    out.note(`${left} left to be sealed; Ctrl-C does not stop it.`)
    await new Promise((resolve) => setTimeout(resolve, progressEveryMs))
    const now = (await session.client().call<{ left: number }>('GET', path)).left
    if (now < left) movedMs = performance.now()
    left = now
    if (performance.now() - movedMs > mostSilentMs) {
      throw new Failure(
        exits.failed,
        `${left} are still sealed with an older key, and it does not go on.`,
        'The server’s log says why. One that was damaged has to be set anew; then do this again.',
      )
    }
  }
  out.data({ left: 0, isKept: begun.isKept })
  out.line('All variables are sealed with a new key.')
  if (options.secretKey === true && begun.isKept)
    out.line('The new secret key is in the file secret-key of the data folder: keep a copy of it.')
}

interface List {
  readonly version: number
  readonly variables: Variable[]
}

/** Where the variables of the environment in question are. */
async function placeOf(session: Session, name: string | undefined, options: CommonOptions) {
  const [app, environment] = [await session.app(), chooseEnvironment(name, options)]
  return { app, environment, path: `${environmentPath(app, environment)}/vars` }
}

async function listVariables(session: Session, [name]: [string | undefined], options: CommonOptions): Promise<void> {
  const { out } = session
  const { environment, path } = await placeOf(session, name, options)
  const { variables } = await session.client().call<List>('GET', path)
  out.data(variables)
  if (variables.length === 0)
    out.line(`${environment} has no variables of its own. Set some: slipway vars set NAME=value`)
  else out.table(['NAME', 'VALUE', 'FOR', 'CHANGED'], variables.map(rowOf))
}

function rowOf({ name, secret, build, changedBy, changedAt }: Variable): string[] {
  return [name, secret ? '(secret)' : '********', build ? 'run, build' : 'run', `${ago(changedAt)} by ${changedBy}`]
}

async function getVariable(session: Session, [name]: [string], options: CommonOptions): Promise<void> {
  const { path } = await placeOf(session, undefined, options)
  const found = await session
    .client()
    .call<Variable>('GET', `${path}/${encodeURIComponent(checked(() => parseVariableName(name)))}`)
  session.out.data(found)
  if (!session.out.json) writeAsItIs(found.value ?? '')
}

async function exportVariables(session: Session, [name]: [string | undefined], options: CommonOptions): Promise<void> {
  const { path } = await placeOf(session, name, options)
  const { variables } = await session.client().call<List>('GET', `${path}?values=true`)
  session.out.data(variables)
  const lines = variables.map(({ name, value }) =>
    value === null ? `# ${name} is secret: its value is not exported` : writeDotenv({ name, value }),
  )
  if (!session.out.json) writeAsItIs(lines.map((line) => `${line}\n`).join(''))
}

/** Into a file or a pipe byte for byte; to a terminal without what moves its cursor. */
function writeAsItIs(text: string): void {
  const { stdout } = process
  stdout.write(stdout.isTTY ? `${text.replace(/\n$/, '').split('\n').map(plain).join('\n')}\n` : text)
}

async function setVariables(session: Session, [given]: [string[]], options: ChangeOptions): Promise<number> {
  const named = given.map((text) => {
    const at = text.indexOf('=')
    const name = checked(() => parseVariableName(at === -1 ? text : text.slice(0, at)))
    return { name, value: at === -1 ? null : text.slice(at + 1) }
  })
  const asked = named.filter(({ value }) => value === null).map(({ name }) => name)
  if (asked.length > 1 && !process.stdin.isTTY) {
    throw new Failure(
      exits.wrongUse,
      `Standard input is one value, and ${asked.join(', ')} want one each.`,
      'Set them one after the other, or all of a file: slipway vars import',
    )
  }
  // Before anything is asked: whoever changes it meanwhile is not overwritten.
  const begin = await beginChange(session, options)
  const pairs: Pair[] = []
  for (const { name, value } of named)
    pairs.push({ name, value: value ?? (await askValue(name, options.raw === true)) })
  return begin.set(pairs)
}

/** A file that is empty by accident, or a pipe from a command that failed, must not take a value away. */
async function askValue(name: string, raw: boolean): Promise<string> {
  const value = process.stdin.isTTY ? await askSecret(`${name}: `) : await readValue(name, raw)
  if (value !== '') return value
  throw new Failure(
    exits.wrongUse,
    `Nothing was given as the value of ${name}. Nothing was changed.`,
    `If it is to be empty: ${name}=`,
  )
}

async function readValue(name: string, raw: boolean): Promise<string> {
  const text = await readText(name)
  return raw ? text : text.replace(/\r?\n$/, '')
}

async function readText(what: string): Promise<string> {
  return decode(await readAllOfStdin(), what)
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Failure(exits.wrongUse, `${what} is not text in UTF-8.`, 'Set it encoded, for example in base64.')
  }
}

async function importVariables(
  session: Session,
  [file]: [string | undefined],
  options: ChangeOptions,
): Promise<number> {
  const begin = await beginChange(session, options)
  const where = file === undefined || file === '-' ? 'Standard input' : file
  const pairs = readPairs(where === file ? decode(await readFileOf(file), file) : await readText(where), where)
  if (pairs.length === 0) throw new Failure(exits.wrongUse, `${where} has no variables. Nothing was changed.`)
  return begin.set(pairs)
}

async function readFileOf(file: string): Promise<Uint8Array> {
  const { readFile } = await import('node:fs/promises')
  return readFile(file).catch((error: unknown) => {
    throw new Failure(exits.wrongUse, `${file} cannot be read: ${whyNotRead(error)}. Nothing was changed.`)
  })
}

function whyNotRead(error: unknown): string {
  switch (error instanceof Error && 'code' in error ? error.code : null) {
    case 'ENOENT':
      return 'there is no such file'
    case 'EACCES':
      return 'you may not'
    case 'EISDIR':
      return 'it is a folder'
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

function readPairs(text: string, where: string): Pair[] {
  try {
    return parseDotenv(text)
  } catch (error) {
    if (!(error instanceof DotenvError)) throw error
    throw new Failure(exits.wrongUse, `${where}, line ${error.line}: ${error.message}. Nothing was changed.`)
  }
}

async function unsetVariables(session: Session, [names]: [string[]], options: ChangeOptions): Promise<number> {
  for (const name of names) checked(() => parseVariableName(name))
  return (await beginChange(session, options)).unset(names)
}

interface Change {
  set(pairs: readonly Pair[]): Promise<number>
  unset(names: readonly string[]): Promise<number>
}

/** Looks at what is there. What somebody else changes after that is not overwritten: the change ends with a conflict then. */
async function beginChange(session: Session, options: ChangeOptions): Promise<Change> {
  const { app, environment, path } = await placeOf(session, undefined, options)
  const { variables } = await session.client().call<List>('GET', path)
  const versionOf = (name: string) => variables.find((variable) => variable.name === name)?.version ?? null
  const send = async (body: unknown): Promise<number> => {
    const changed = await session.client().call<{ set: string[]; unset: string[] }>('PATCH', path, body)
    if (!(options.deploy === true && session.out.json)) session.out.data(changed)
    const words = [...say('Set', changed.set), ...say('Removed', changed.unset)]
    session.out.line(
      words.length === 0
        ? `Nothing to change: ${environment} of ${app} has it so already.`
        : `${words.join('; ')} in ${environment} of ${app}.`,
    )
    if (options.deploy === true) return requestDeploy(session, [environment], { app, wait: true })
    if (words.length > 0)
      session.out.note(`Not applied yet; the next deploy does: slipway deploy ${environment} -a ${app}`)
    return exits.done
  }
  return {
    async set(pairs) {
      const flags = {
        ...(options.secret === undefined ? {} : { secret: options.secret }),
        ...(options.build === undefined ? {} : { build: options.build }),
      }
      const set = pairs.map(({ name, value }) => ({
        name: checked(() => parseVariableName(name)),
        value: checked(() => parseVariableValue(name, value)),
        ifVersion: versionOf(name),
        ...flags,
      }))
      warn(
        session,
        set.map((each) => ({ ...variables.find(({ name }) => name === each.name), ...each })),
      )
      return send({ set })
    },
    unset: (names) =>
      send({
        unset: names.map((name) => ({ name, ...(versionOf(name) === null ? {} : { ifVersion: versionOf(name) }) })),
      }),
  }
}

function say(what: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${what} ${names.join(', ')}`]
}

/** Those that Slipway sets itself. */
const system = new Set(['STAGE', 'DEBUG', 'PORT', 'GIT_BRANCH', 'GIT_COMMIT', 'DOMAIN', 'DOMAIN_ALIASES', 'SECRET_KEY'])

function warn(
  { out }: Session,
  variables: readonly { name: string; value: string; secret?: boolean; build?: boolean }[],
): void {
  for (const { name, value, secret = false, build = false } of variables) {
    if (secret && value.length < shortestMasked)
      out.note(`${name} is shorter than ${shortestMasked} characters: it is not masked in logs.`)
    if (build && secret)
      out.note(`${name} is secret and for the build: deploys are refused until there is a builder for such secrets.`)
    else if (build) out.note(`${name} stays readable in the history of the images that are built with it.`)
    if (system.has(name) || name.startsWith('SLIPWAY_')) out.note(`${name} is one that Slipway sets: yours wins.`)
  }
}

function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error
    throw new Failure(exitOfProblem(error.code), `${error.message} Nothing was changed.`, error.hint)
  }
}
