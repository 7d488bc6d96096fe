import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import type { Secret } from '../kernel/secret.ts'
import { type Limits, parseRange } from '../routing/index.ts'

/** Who may ask for the sites of an environment, and how much. Passwords are never told. */
export interface Protection {
  readonly users: readonly { readonly name: string; readonly since: Date }[]
  /** Who comes from there needs no password; without any user nobody else may come. */
  readonly ranges: readonly string[]
  /** Users and ranges hold for the addresses of releases alone. */
  readonly onlyReleases: boolean
  readonly limits: Limits
}

/** What is left out stays as it is. */
export interface ProtectionChange {
  /** Adds the user, or gives it another password. */
  readonly setUser?: { readonly name: string; readonly password: Secret }
  readonly removeUser?: string
  readonly allow?: readonly string[]
  readonly disallow?: readonly string[]
  readonly onlyReleases?: boolean
  /** Removes all users and ranges first. */
  readonly open?: boolean
  readonly limits?: Partial<Limits>
}

const longestName = 64
const longestPassword = 200
export const mostUsers = 100
export const mostRanges = 100

/** What a browser can send as a user: RFC 7617 has no colon and no control characters. */
export function parseUserName(value: string): string {
  const fits = Buffer.byteLength(value) <= longestName && value.trim() === value && value !== ''
  if (fits && !hasControls(value) && !value.includes(':')) return value
  throw new SlipwayError('bad_request', `${quote(value)} cannot be the name of a user.`, {
    hint: `Use 1 to ${longestName} characters without a colon, line ends, and blanks at the ends. Example: anna`,
  })
}

/** Any text that a browser can send. The message holds nothing of it. */
export function checkPassword(password: Secret): Secret {
  const value = password.reveal()
  const wrong = (what: string): SlipwayError => new SlipwayError('bad_request', `The password ${what}.`)
  if (value === '') throw wrong('is empty')
  if (Buffer.byteLength(value) > longestPassword) throw wrong(`is longer than ${longestPassword} bytes`)
  if (hasControls(value)) throw wrong('holds line ends or other control characters, which no browser can send')
  if (!value.isWellFormed()) throw wrong('is no proper text')
  return password
}

export function parseRanges(values: readonly string[]): string[] {
  return [...new Set(values.map(parseRange))]
}

function hasControls(value: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f]/.test(value) || !value.isWellFormed()
}
