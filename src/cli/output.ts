import { plainLine, sanitizeLine } from '../kernel/terminal-text.ts'
import type { Failure } from './failure.ts'

/*
 * Everything that is printed goes through here. Whatever came from the server is foreign text: it may hold what a build or
 * an app printed. Results go to standard output; progress, hints and errors to standard error.
 */

export interface Output {
  readonly json: boolean
  /** Whether people see the result on a terminal. */
  readonly isScreen: boolean
  /** A line of the result for people; nothing with --json. */
  line(text?: string): void
  /** A line of a log: colours pass when this is a terminal. With --json it is progress, on standard error. */
  logLine(text: string): void
  /** The result for programs; nothing without --json. */
  data(value: unknown): void
  /** One JSON value in a line of its own, for what comes bit by bit. */
  dataLine(value: unknown): void
  table(header: readonly string[], rows: readonly (readonly string[])[]): void
  /** `name   value` lines. */
  facts(pairs: readonly (readonly [string, string | null])[]): void
  note(text: string): void
}

export interface Streams {
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

export function makeOutput(options: { json: boolean; env: NodeJS.ProcessEnv; streams: Streams }): Output {
  const { json, env, streams } = options
  const coloured = streams.stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  const write = (text: string): void => void streams.stdout.write(`${text}\n`)
  const note = (text: string): void => void streams.stderr.write(`${plain(text)}\n`)
  const dim = (text: string): string => (coloured ? `\u001b[2m${text}\u001b[0m` : text)
  const line = (text = ''): void => {
    if (!json) write(plain(text))
  }

  return {
    json,
    isScreen: !json && streams.stdout.isTTY,
    line,
    note,
    logLine(text) {
      if (json) note(text)
      else write(coloured ? sanitizeLine(text) : plainLine(text))
    },
    data: (value) => {
      if (json) write(toSafeJson(value, 2))
    },
    dataLine: (value) => {
      if (json) write(toSafeJson(value, 0))
    },
    table(header, rows) {
      if (json) return
      for (const [i, text] of renderTable([header, ...rows]).entries()) write(i === 0 ? dim(text) : text)
    },
    facts(pairs) {
      if (json) return
      const shown = pairs.filter((pair): pair is [string, string] => pair[1] !== null)
      const width = Math.max(...shown.map(([name]) => name.length))
      for (const [name, value] of shown) write(`${dim(`${name.padEnd(width)} `)} ${plain(value)}`)
    },
  }
}

/** What went wrong, and below it what to do. */
export function renderFailure({ message, hint }: Pick<Failure, 'message' | 'hint'>): string {
  const lines = [` !     ${plain(message)}`, ...(hint === undefined || hint === '' ? [] : [`       ${plain(hint)}`])]
  return `${lines.join('\n')}\n`
}

/** One line without colours, control characters and tabs. */
export function plain(text: string): string {
  return plainLine(text.replaceAll('\t', ' '))
}

export function renderTable(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(plain))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  return cells.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** JSON escapes C0 itself; the other characters that a terminal obeys are escaped here, which changes no value. */
export function toSafeJson(value: unknown, indent: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** `3 min ago`, for people; programs get the time itself. */
export function ago(iso: string | null, now = Date.now()): string {
  if (iso === null) return '-'
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000))
  if (!Number.isFinite(seconds)) return '-'
  const steps: [number, string][] = [
    [60, 's'],
    [60, 'min'],
    [24, 'h'],
    [Number.POSITIVE_INFINITY, 'd'],
  ]
  let value = seconds
  for (const [size, unit] of steps) {
    if (value < size) return `${Math.floor(value)} ${unit} ago`
    value /= size
  }
  return '-'
}
