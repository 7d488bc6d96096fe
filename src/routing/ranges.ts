import { isIPv4, isIPv6 } from 'node:net'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'

/*
 * Ranges of addresses as the proxy looks them up: by the longest beginning of the address in hexadecimal digits. A range whose
 * length is no multiple of four bits is several such beginnings, at most eight.
 */

interface Range {
  readonly family: 4 | 6
  readonly bytes: readonly number[]
  readonly bits: number
}

/** `203.0.113.0/24`, `2001:db8::/32` or a single address, in one spelling. Throws `bad_request` for anything else. */
export function parseRange(value: string): string {
  const { family, bytes, bits } = readRange(value)
  const rest = bytes.map((byte, i) => byte & ~maskOf(bits, i) & 0xff)
  const text = write(
    family,
    bytes.map((byte, i) => byte & maskOf(bits, i)),
  )
  if (rest.some((byte) => byte !== 0)) {
    throw notARange(value, `An address of ${bits} bits ends in zeros: did you mean ${text}/${bits}?`)
  }
  return `${text}/${bits}`
}

/** What the hexadecimal digits of an address in the range begin with, `4` or `6` before them. */
export function rangePrefixes(range: string): string[] {
  const { family, bytes, bits } = readRange(range)
  const digits = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const whole = Math.floor(bits / 4)
  const begin = digits.slice(0, whole).toUpperCase()
  const open = 4 - (bits % 4)
  if (open === 4) return [`${family}${begin}`]
  const first = Number.parseInt(digits.charAt(whole), 16) & ~(2 ** open - 1)
  return Array.from({ length: 2 ** open }, (_, i) => `${family}${begin}${(first + i).toString(16).toUpperCase()}`)
}

function readRange(value: string): Range {
  const [address = '', length, ...more] = value.split('/')
  const bytes = isIPv4(address) ? address.split('.').map(Number) : readIPv6(address)
  if (bytes === null || more.length > 0) {
    throw notARange(value, 'Examples: 203.0.113.7, 203.0.113.0/24, 2001:db8::/48')
  }
  const all = bytes.length * 8
  const bits = length === undefined ? all : /^(?:0|[1-9][0-9]{0,2})$/.test(length) ? Number(length) : -1
  if (bits === 0)
    throw notARange(value, 'These are all addresses there are. To let everybody in, remove the protection.')
  if (bits < 0 || bits > all) throw notARange(value, `The length of the range is a number from 1 to ${all}.`)
  return { family: bytes.length === 4 ? 4 : 6, bytes, bits }
}

/** Null for what is none, and for what a visitor's address never looks like (zones, IPv4 inside IPv6). */
function readIPv6(address: string): number[] | null {
  if (!isIPv6(address) || /[.%]/.test(address)) return null
  const [head = '', tail] = address.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0)
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff])
}

function write(family: 4 | 6, bytes: readonly number[]): string {
  if (family === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0)).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/** Of the byte at `i` those bits that count. */
function maskOf(bits: number, i: number): number {
  return (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff
}

function notARange(value: string, hint: string): SlipwayError {
  return new SlipwayError('bad_request', `${quote(value)} is not a range of addresses.`, { hint })
}
