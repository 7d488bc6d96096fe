import { SlipwayError } from './errors.ts'
import { quote } from './names.ts'

/*
 * What can be a variable: the same for the server and the command line, so that a mistake is told before anything is sent.
 */

/** A value. Linux takes 128 KiB for a name and a value. */
export const longestValueBytes = 64 * 1024
/** All names and values of an environment. Linux gives a process 2 MiB for its arguments and its environment. */
export const mostVariableBytes = 512 * 1024
export const mostVariables = 500
/** Secrets shorter than this are not masked: they would turn half of a log into marks. */
export const shortestMasked = 6

/** A name as POSIX has it. */
export function parseVariableName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) return name
  throw new SlipwayError('bad_request', `${quote(name)} cannot be the name of a variable.`, {
    hint: 'Use A–Z, a–z, 0–9 and _, at most 128 of them and no digit first. Example: DATABASE_URL',
  })
}

/** A value, byte for byte: any text but one with a NUL, which cannot be in a process's environment. */
export function parseVariableValue(name: string, value: string): string {
  const bytes = Buffer.byteLength(value)
  if (bytes > longestValueBytes) {
    throw new SlipwayError('too_large', `The value of ${name} has ${Math.ceil(bytes / 1024)} KB; the most is 64 KB.`, {
      hint: 'What is that large belongs into a file of the image, or into a store that the app reads from.',
    })
  }
  if (value.includes('\u0000')) {
    throw new SlipwayError('bad_request', `The value of ${name} holds a NUL byte, which no environment variable can.`, {
      hint: 'Set it encoded, for example in base64.',
    })
  }
  if (!value.isWellFormed()) {
    throw new SlipwayError('bad_request', `The value of ${name} is not text in UTF-8.`, {
      hint: 'Set it encoded, for example in base64.',
    })
  }
  if (name === 'PORT' && !isPort(value)) {
    throw new SlipwayError('bad_request', 'PORT must be a number from 1 to 65535.', {
      hint: 'It is the port that the app listens on, and that Slipway checks and leads requests to.',
    })
  }
  return value
}

function isPort(value: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(value) && Number(value) <= 65_535
}
