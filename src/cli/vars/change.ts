import { parseVariableName, parseVariableValue, shortestMasked } from '../../kernel/variables.ts'
import type { Pair } from '../dotenv.ts'
import { exits, Failure } from '../failure.ts'
import type { CommonOptions, Session } from '../session.ts'
import { requestDeploy } from '../verbs/deploys.ts'
import { askValue, checked, readDotenv } from './input.ts'
import { type List, placeOf } from './read.ts'

export interface ChangeOptions extends CommonOptions {
  readonly secret?: boolean
  readonly build?: boolean
  readonly deploy?: boolean
  readonly raw?: boolean
}

export async function setVariables(session: Session, [given]: [string[]], options: ChangeOptions): Promise<number> {
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
      'A value stands behind “=”: NAME=value. Or set them one after the other, or all of a file: slipway vars import',
    )
  }
  // Before anything is asked: whoever changes it meanwhile is not overwritten.
  const begin = await beginChange(session, options)
  const pairs: Pair[] = []
  for (const { name, value } of named)
    pairs.push({ name, value: value ?? (await askValue(name, options.raw === true)) })
  return begin.set(pairs)
}

export async function importVariables(
  session: Session,
  [file]: [string | undefined],
  options: ChangeOptions,
): Promise<number> {
  const begin = await beginChange(session, options)
  return begin.set(await readDotenv(file))
}

export async function unsetVariables(session: Session, [names]: [string[]], options: ChangeOptions): Promise<number> {
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
