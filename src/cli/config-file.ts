import {
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
  closeSync,
  fsyncSync,
  chmodSync,
  statSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { exits, Failure } from './failure.ts'

/** Servers one is signed in to. The file holds tokens: 0600, and they are never printed. */
export interface ConfigFile {
  readonly path: string
  /** Origin of the server that verbs go to; null before the first login. */
  readonly current: string | null
  readonly servers: Readonly<Record<string, { readonly token: string }>>
}

export function configPath(env: NodeJS.ProcessEnv): string {
  const given = env['XDG_CONFIG_HOME'] ?? ''
  const home = (env['HOME'] ?? '') === '' ? homedir() : (env['HOME'] as string)
  return join(given.startsWith('/') ? given : join(home, '.config'), 'slipway', 'config.json')
}

export function readConfigFile(path: string): ConfigFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
    // Somebody copied it, or a backup brought it back open: close it again.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { path, current: null, servers: {} }
    throw new Failure(exits.failed, `${path} cannot be read: ${messageOf(error)}.`)
  }
  const broken = new Failure(exits.wrongUse, `${path} is damaged.`, 'Remove it and sign in again: slipway login URL')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw broken
  }
  if (!isRecord(value) || !isRecord(value['servers'])) throw broken
  const servers = Object.entries(value['servers']).flatMap(([origin, its]) =>
    isRecord(its) && typeof its['token'] === 'string' && URL.canParse(origin)
      ? [[origin, { token: its['token'] }] as const]
      : [],
  )
  const current = typeof value['current'] === 'string' && URL.canParse(value['current']) ? value['current'] : null
  return { path, current, servers: Object.fromEntries(servers) }
}

/** Written whole beside the old one and put in its place: never half a file, never readable by others for a moment. */
export function writeConfigFile({ path, current, servers }: ConfigFile): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const draft = `${path}.${process.pid}.new`
    const fd = openSync(draft, 'w', 0o600)
    writeSync(fd, `${JSON.stringify({ version: 1, current, servers }, null, 2)}\n`)
    fsyncSync(fd)
    closeSync(fd)
    renameSync(draft, path)
  } catch (error) {
    throw new Failure(exits.failed, `${path} cannot be written: ${messageOf(error)}.`)
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
