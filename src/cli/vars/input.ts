import { SlipwayError } from '../../kernel/errors.ts'
import { DotenvError, type Pair, parseDotenv } from '../dotenv.ts'
import { exitOfProblem, exits, Failure } from '../failure.ts'
import { askSecret, readAllOfStdin } from '../prompt.ts'

/* Names and values of variables as people give them: asked, piped, from a file. Whatever is wrong is told before anything is changed. */

/** A file that is empty by accident, or a pipe from a command that failed, must not take a value away. */
export async function askValue(name: string, raw: boolean, ifNone = `If it is to be empty: ${name}=`): Promise<string> {
  const value = process.stdin.isTTY ? await askSecret(`${name}: `) : await readValue(name, raw)
  if (value !== '') return value
  throw new Failure(exits.wrongUse, `Nothing was given as the value of ${name}. Nothing was changed.`, ifNone)
}

async function readValue(name: string, raw: boolean): Promise<string> {
  const text = await readText(name)
  return raw ? text : text.replace(/\r?\n$/, '')
}

/** The variables of a .env file; without one, or with `-`, of standard input. Never none. */
export async function readDotenv(file: string | undefined): Promise<Pair[]> {
  const where = file === undefined || file === '-' ? 'Standard input' : file
  const pairs = readPairs(where === file ? decode(await readFileOf(file), file) : await readText(where), where)
  if (pairs.length === 0) throw new Failure(exits.wrongUse, `${where} has no variables. Nothing was changed.`)
  return pairs
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

export function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error
    throw new Failure(exitOfProblem(error.code), `${error.message} Nothing was changed.`, error.hint)
  }
}
