import { sanitizeLine } from '../kernel/terminal-text.ts'

/** A line of a journal. */
export interface StoredLine {
  /** RFC 3339 in UTC with nine decimals: sorts as text. */
  readonly at: string
  /** Whose it is, for people: `web.1`, `release.migrations`, `router`, or `slipway` for what Slipway itself has to say. */
  readonly from: string
  /** Which container of that name, by the first digits of its id; `-` for none. */
  readonly container: string
  readonly output: 'stdout' | 'stderr'
  /** Safe to print. */
  readonly text: string
}

/** `2026-11-21T10:00:00.123456789Z` */
export const stampLength = 30

/** How lines stand in a journal, without their line end. What is stored is safe to print: people read these files too. */
export function encodeLine({ at, from, container, output, text }: StoredLine): string {
  return `${at} ${from} ${container} ${output === 'stderr' ? 'e' : 'o'} ${sanitizeLine(text)}`
}

/** Null for what is no line of a journal. */
export function decodeLine(line: string): StoredLine | null {
  const [, at, from, container, output, text] = /^(\S{30}) (\S+) (\S+) ([oe]) (.*)$/s.exec(line) ?? []
  if (at === undefined || from === undefined || container === undefined || text === undefined) return null
  return { at, from, container, output: output === 'e' ? 'stderr' : 'stdout', text }
}

/** The form of the engine's times. */
export function stampOf(date: Date): string {
  return date.toISOString().replace('Z', '000000Z')
}

/** A stamp so many milliseconds earlier. */
export function earlier(stamp: string, ms: number): string {
  return stampOf(new Date(Date.parse(stamp) - ms))
}

/** What Slipway itself says in a journal. */
export function encodeNote(at: Date, text: string): string {
  return encodeLine({ at: stampOf(at), from: 'slipway', container: '-', output: 'stderr', text })
}
