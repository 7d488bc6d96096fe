import { SlipwayError } from '../kernel/errors.ts'
import { stampLength } from './line.ts'

/**
 * A place in several logs that are read as one: the time of the last line, and how far each log was read. As text, because
 * readers bring it back: `2026-11-21T10:00:00.123456789Z@v12.3.10345,router.1.55`.
 */
export interface Cursor {
  readonly at: string
  readonly positions: ReadonlyMap<string, string>
}

/** What logs say of themselves; `.` parts it from the log's name. */
const pattern = /^(?:v[1-9][0-9]{0,8}|router|deploy)\.[0-9]{1,17}(?:\.[0-9]{1,15}){0,2}$/

export function encodeCursor(at: string, positions: ReadonlyMap<string, string>): string {
  return `${at}@${[...positions].map(([name, position]) => `${name}.${position}`).join(',')}`
}

/** It comes from outside: anything may be in it. */
export function decodeCursor(text: string): Cursor {
  const [at = '', rest = '', ...more] = text.length > 2_000 ? [] : text.split('@')
  const entries = rest === '' ? [] : rest.split(',')
  const isTime = at.length === stampLength && /^[0-9T:.-]+Z$/.test(at) && !Number.isNaN(Date.parse(at))
  if (!isTime || more.length > 0 || !entries.every((entry) => pattern.test(entry))) {
    throw new SlipwayError('bad_request', 'Last-Event-ID must be the id of a line of these logs.')
  }
  return {
    at,
    positions: new Map(
      entries.map((entry): [string, string] => {
        const dot = entry.indexOf('.')
        return [entry.slice(0, dot), entry.slice(dot + 1)]
      }),
    ),
  }
}
