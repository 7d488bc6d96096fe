import { createHmac } from 'node:crypto'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import type { Secret } from '../kernel/secret.ts'
import { parseSentence } from '../kernel/sentence.ts'
import { parseRouteKey } from './names.ts'
import type { Limits } from './router.ts'

/*
 * Who may ask for a host, and how much. What a host leads to carries which environment's rules hold for it, so that a host
 * whose rules are lost is closed, not open.
 */

/** What a host leads to. */
export interface HostEntry {
  readonly routeKey: string
  /** Whose rules hold for it. */
  readonly environmentId: number
  /** Who may ask: those with a password, those from an address; neither: everybody. */
  readonly needs: { readonly password: boolean; readonly address: boolean }
  readonly isLimited: boolean
  /** All are told that the site is being worked on, but those who may pass. */
  readonly isWorkedOn: boolean
  /** Whether search engines may list it. */
  readonly isIndexed: boolean
}

/** `e9`, or with rules of an environment `e9/p/9`: p passwords, a addresses, l limits, m is being worked on, i may be listed. */
export function formatHostEntry(entry: HostEntry): string {
  const { routeKey, environmentId, needs, isLimited, isWorkedOn, isIndexed } = entry
  const marks = { p: needs.password, a: needs.address, l: isLimited, m: isWorkedOn, i: isIndexed }
  const flags = Object.entries(marks)
    .map(([flag, isSet]) => (isSet ? flag : ''))
    .join('')
  return parseHostEntry(flags === '' ? routeKey : `${routeKey}/${flags}/${environmentId}`)
}

export function parseHostEntry(value: string): string {
  const [key = '', ...rules] = value.split('/')
  parseRouteKey(key)
  if (rules.length === 0 || /^(?=[palmi])p?a?l?m?i?\/[1-9][0-9]{0,18}$/.test(rules.join('/'))) return value
  throw new SlipwayError('bad_request', `${quote(value)} is nothing that a host can lead to.`)
}

/** The route key alone. */
export function routeKeyOf(entry: string): string {
  return entry.split('/', 1)[0] ?? ''
}

export function parseEnvironmentId(value: number): string {
  if (Number.isSafeInteger(value) && value >= 1) return String(value)
  throw new SlipwayError('bad_request', `${value} is not the id of an environment.`)
}

/**
 * What the proxy makes of the credentials that a browser sends: nobody without the key can test a password against it. It says nothing of
 * the environment, so that one that is made like another has its passwords.
 */
export function passwordHash(key: Secret, { user, password }: { user: string; password: Secret }): string {
  const credentials = Buffer.from(`${user}:${password.reveal()}`).toString('base64')
  return createHmac('sha256', Buffer.from(key.reveal(), 'base64')).update(credentials).digest('hex').toUpperCase()
}

export function parsePasswordHash(value: string): string {
  if (/^[0-9A-F]{64}$/.test(value)) return value
  throw new SlipwayError('bad_request', 'This is not the hash of a password.')
}

export function parseRangePrefix(value: string): string {
  if (/^(?:4[0-9A-F]{1,8}|6[0-9A-F]{1,32})$/.test(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is not the beginning of an address.`)
}

const largest = 1_000_000

export function parseLimits(limits: Limits): Limits {
  for (const value of [limits.requests, limits.visitorRate, limits.visitorRequests]) {
    if (value === null || (Number.isInteger(value) && value >= 1 && value <= largest)) continue
    throw new SlipwayError('bad_request', `A limit is a whole number from 1 to ${largest}, not ${value}.`)
  }
  return limits
}

/** Encoded twice, each character may be 24 bytes of a command to the proxy. */
const longestMessage = 300

/** What visitors are told where nobody has said anything else. */
export const usualMessage = 'It will be back soon. Please try again in a few minutes.'

/** What visitors are told: one line for people. */
export function parseMessage(value: string): string {
  return parseSentence(value, { what: 'message', longest: longestMessage })
}
