import { exits, Failure } from './failure.ts'
import { chooseEnvironment, type CommonOptions } from './session.ts'

/** A release and its environment as people name them: `v12`, `12`, `v12 live`, `live v12`, `live:v12`. */
export function readPlace(
  words: readonly (string | undefined)[],
  options: CommonOptions,
): { environment: string; release: string } {
  const { environment, release } = readChoice(words, options)
  return { environment, release: release ?? readRelease(words[0] ?? '') }
}

/** The same, where the release may be left out, too: then it is null. */
export function readChoice(
  words: readonly (string | undefined)[],
  options: CommonOptions,
): { environment: string; release: string | null } {
  const given = words.flatMap((word) => word?.split(':') ?? []).filter((word) => word !== '')
  // No environment is called like a release, so the order is free.
  const [releases, names] = [given.filter(isRelease), given.filter((word) => !isRelease(word))]
  if (releases.length > 1)
    throw new Failure(exits.wrongUse, `${releases.slice(0, 2).join(' or ')}? Give the release once.`)
  // Of two words that are none the second was to be it.
  if (names.length > 1) readRelease(names[1] ?? '')
  const [release] = releases
  return {
    environment: chooseEnvironment(names[0], options),
    release: release === undefined ? null : readRelease(release),
  }
}

const isRelease = (word: string): boolean => /^v?[0-9]+$/.test(word)

/** `v12` or `12`. */
export function readRelease(text: string): string {
  const number = /^v?([1-9][0-9]{0,8})$/.exec(text)?.[1]
  if (number !== undefined) return `v${number}`
  throw new Failure(
    exits.wrongUse,
    `“${text}” is not a release: they are v1, v2, ….`,
    'See the newest with: slipway releases list',
  )
}
