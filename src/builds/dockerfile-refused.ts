import { dockerfileError, type Instruction } from './dockerfile-lines.ts'
import { splitWords } from './dockerfile-words.ts'

/*
 * What the engine would do itself, outside the build's container and its limits, and must therefore not be asked to: put
 * values into each other until its memory is full, and fetch addresses from the host's own network.
 */

/** No process can be started with a longer variable. */
const longestValue = 128 * 1024
/** Of a variable that comes from the base image: one with longer ones is refused. */
export const longestBaseVariable = 4096
/** What an ARG counts at least, whoever gives it a value. */
const usualArg = 4096

/** Instructions in which the engine puts values; in RUN and its like the shell does. */
const expanded = new Set('ADD ARG COPY ENV EXPOSE FROM LABEL STOPSIGNAL USER VOLUME WORKDIR'.split(' '))

/**
 * Takes one instruction after the other; throws at the one whose values would become longer than any use. `args`: the values that the
 * build gives to ARGs.
 */
export function makeValueLimit(
  escape: string,
  args: Readonly<Record<string, string>>,
): (instruction: Instruction) => void {
  const sizes = new Map<string, number>()
  const sizeOf = (text: string): number => {
    const names = [...text.matchAll(/\$\{?([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name = '']) => name)
    return names.reduce((sum, name) => sum + (sizes.get(name) ?? longestBaseVariable), text.length)
  }

  return function limit({ keyword, rest, line }) {
    if (!expanded.has(keyword)) return
    if (sizeOf(rest) > longestValue * 4) throw tooLong(keyword, line)
    if (keyword !== 'ENV' && keyword !== 'ARG') return
    for (const { name, value } of assignments(keyword, rest, escape)) {
      if (name.includes('$')) throw dockerfileError(line, `the name of a variable in ${keyword} cannot hold variables`)
      const size = Math.max(
        sizeOf(value ?? ''),
        keyword === 'ARG' ? Math.max(usualArg, lengthOf(args, name)) : 0,
        value === null ? (sizes.get(name) ?? 0) : 0,
      )
      if (size > longestValue) throw tooLong(keyword, line)
      // What an earlier stage or the ARG had may come back; the larger one counts.
      sizes.set(name, Math.max(size, sizes.get(name) ?? 0))
    }
  }
}

const lengthOf = (args: Readonly<Record<string, string>>, name: string): number =>
  Object.hasOwn(args, name) ? Buffer.byteLength(args[name] ?? '') : 0

function assignments(keyword: string, rest: string, escape: string): { name: string; value: string | null }[] {
  const words = splitWords(rest, escape)
  const [first = ''] = words
  // `ENV name all the rest`
  if (keyword === 'ENV' && !first.includes('=')) return [{ name: bare(first), value: rest }]
  return words.map((word) => {
    const equals = word.indexOf('=')
    return equals === -1
      ? { name: bare(word), value: null }
      : { name: bare(word.slice(0, equals)), value: word.slice(equals + 1) }
  })
}

const bare = (name: string): string => name.replace(/["'\\`]/g, '')

function tooLong(keyword: string, line: number): Error {
  return dockerfileError(line, `the values in ${keyword} become too long when they are put into each other`)
}

/**
 * The engine fetches the addresses of ADD from the host's network, where loopback services and a cloud's credentials answer.
 * `rest` is behind the flags. A variable at the beginning of a source may hold an address.
 */
export function refuseFetching(rest: string, line: number): void {
  const sources = addWords(rest, line).slice(0, -1)
  const plain = sources.map((word) => word.replace(/["'\\`]/g, '').toLowerCase())
  if (plain.some((word) => /^(?:https?|ftp|git|ssh):|^git@/.test(word) || mayBecomeAddress(word))) {
    throw dockerfileError(
      line,
      'ADD cannot fetch from an address, and what it adds cannot begin with a variable',
      'Fetch it in a RUN (curl, wget); for a file of the repository write ./ in front, as in ADD ./$FILE /to',
    )
  }
}

/** As the engine cuts them: quotes hold no words together here, and behind a JSON array it ignores whatever comes. */
function addWords(rest: string, line: number): string[] {
  if (!rest.startsWith('[')) return rest.split(/\s+/)
  try {
    const words: unknown = JSON.parse(rest)
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words
  } catch {
    // Told below.
  }
  throw dockerfileError(line, 'ADD begins with [ but is not a JSON array of texts')
}

function mayBecomeAddress(word: string): boolean {
  const variable = word.indexOf('$')
  return variable !== -1 && ['http://', 'https://'].some((start) => start.startsWith(word.slice(0, variable)))
}
