import { randomInt } from 'node:crypto'
import type { Command } from 'commander'
import type { Protection } from '../api-types.ts'
import { exits, Failure } from '../failure.ts'
import { ago, type Output } from '../output.ts'
import { askSecret } from '../prompt.ts'
import {
  type CommonOptions,
  environmentPath,
  type Run,
  type Session,
  withApp,
  withExample,
  withJson,
} from '../session.ts'

interface ProtectOptions extends CommonOptions {
  readonly allow?: readonly string[]
  readonly disallow?: readonly string[]
  readonly onlyReleases?: boolean
  readonly generate?: boolean
  readonly list?: boolean
}

export function addProtectVerbs(program: Command, run: Run): void {
  const protect = program
    .command('protect')
    .argument('<env>', 'the environment')
    .argument('[user]', 'whose password this is (default: the app’s name)')
    .description('ask visitors of an environment for a password, or let in some addresses alone')
    .option('--generate', 'make a password and show it, without a question')
    .option('--allow <ranges...>', 'who comes from there needs no password; without any password nobody else may come')
    .option('--disallow <ranges...>', 'take these away again')
    .option('--only-releases', 'only for the addresses of releases (v12--…); the environment’s own stays open')
    .option('--no-only-releases', 'for the environment’s own address, too')
    .option('--list', 'who may come; changes nothing')
  withExample(
    withJson(withApp(protect)).action(run<[string, string | undefined], ProtectOptions>(protectEnvironment)),
    'slipway protect test anna',
    'slipway protect test anna < password.txt',
    'slipway protect test --allow 203.0.113.0/24 2001:db8::/48',
  )
  const unprotect = program
    .command('unprotect')
    .argument('<env>', 'the environment')
    .argument('[user]', 'only this user (default: everybody may come again)')
    .description('take a user’s password away, or let everybody see an environment')
  withExample(
    withJson(withApp(unprotect)).action(run<[string, string | undefined], CommonOptions>(unprotectEnvironment)),
    'slipway unprotect test anna',
    'slipway unprotect test',
  )
}

export async function protectionPath(session: Session, environment: string): Promise<string> {
  return `${environmentPath(await session.app(), environment)}/protection`
}

async function protectEnvironment(
  session: Session,
  [environment, user]: [string, string | undefined],
  options: ProtectOptions,
): Promise<void> {
  const { out, client } = session
  const { allow, disallow, onlyReleases, generate, list } = options
  const path = await protectionPath(session, environment)
  if (list === true) return show(out, await client().call<Protection>('GET', path))
  const change = {
    ...(allow === undefined ? {} : { allow }),
    ...(disallow === undefined ? {} : { disallow }),
    ...(onlyReleases === undefined ? {} : { onlyReleases }),
  }
  // A range alone is a change of its own; without anything else it is a password that is wanted.
  const name = user ?? (Object.keys(change).length > 0 && generate !== true ? null : await session.app())
  const password = name === null ? null : await choosePassword(name, generate === true)
  const setUser = password === null ? {} : { setUser: { name, password: password.value } }
  const now = await client().call<Protection>('PATCH', path, { ...change, ...setUser })
  if (password?.isGenerated === true) {
    out.data({ ...now, password: password.value })
    out.line(`The password of ${name ?? ''}, shown this once: ${password.value}`)
  } else out.data(now)
  describe(out, now)
}

async function unprotectEnvironment(
  session: Session,
  [environment, user]: [string, string | undefined],
): Promise<void> {
  const change = user === undefined ? { open: true } : { removeUser: user }
  const now = await session.client().call<Protection>('PATCH', await protectionPath(session, environment), change)
  session.out.data(now)
  describe(session.out, now)
}

function show(out: Output, protection: Protection): void {
  out.data(protection)
  describe(out, protection)
  if (protection.users.length + protection.ranges.length === 0) return
  out.line()
  out.table(
    ['WHO', 'SINCE'],
    [
      ...protection.users.map(({ name, since }) => [name, ago(since)]),
      ...protection.ranges.map((range) => [range, '-']),
    ],
  )
}

/** Who may come, in a sentence. */
function describe(out: Output, { environment, users, ranges, onlyReleases }: Protection): void {
  const what = onlyReleases ? `the addresses of ${environment}’s releases` : environment
  const who = [
    ...(ranges.length === 0 ? [] : [`visitors from ${ranges.join(', ')}`]),
    ...(users.length === 0 ? [] : [`${users.map(({ name }) => name).join(', ')} with a password`]),
  ]
  if (who.length === 0) return out.line(`Everybody may see ${environment}.`)
  out.line(`Only ${who.join(' and ')} may see ${what}${onlyReleases ? `; ${environment} itself is open to all` : ''}.`)
}

interface Chosen {
  readonly value: string
  readonly isGenerated: boolean
}

/** Asked for on a terminal, else read from standard input; made where nothing is given. */
async function choosePassword(user: string, generate: boolean): Promise<Chosen> {
  if (generate) return { value: makePassword(), isGenerated: true }
  const given = process.stdin.isTTY ? await ask(user) : await readPassword()
  return given === '' ? { value: makePassword(), isGenerated: true } : { value: given, isGenerated: false }
}

async function ask(user: string): Promise<string> {
  const first = await askSecret(`Password for ${user} (Enter: one is made): `)
  if (first === '' || first === (await askSecret('Once more: '))) return first
  throw new Failure(exits.wrongUse, 'These were two passwords. Nothing was changed.')
}

const longestInput = 4_096

/** The first line, byte for byte: blanks at its ends are part of a password. */
async function readPassword(): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (chunk.includes(10) || size > longestInput) break
  }
  const bytes = Buffer.concat(chunks)
  const end = bytes.indexOf(10)
  try {
    const line = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      end < 0 ? bytes : bytes.subarray(0, end),
    )
    return line.replace(/\r$/, '')
  } catch {
    throw new Failure(exits.wrongUse, 'What was given as the password is no UTF-8 text.')
  }
}

/** Letters and digits that nobody takes for others; 20 of 31 are 99 bits. */
function makePassword(): string {
  const signs = 'abcdefghjkmnpqrstuvwxyz23456789'
  return Array.from({ length: 20 }, () => signs.charAt(randomInt(signs.length))).join('')
}
