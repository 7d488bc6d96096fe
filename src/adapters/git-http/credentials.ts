import { Secret } from '../../kernel/secret.ts'

const longestHeader = 4096

/** The token in `Authorization`: a bearer token, or the password of basic authentication, whatever the user is called. */
export function readToken(header: string | undefined): Secret | null {
  if (header === undefined || header.length > longestHeader) return null
  const [, scheme = '', value = ''] = /^(basic|bearer) +([^\s]+)$/i.exec(header) ?? []
  if (scheme.toLowerCase() === 'bearer') return new Secret(value)
  const pair = Buffer.from(value, 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  return colon === -1 || colon === pair.length - 1 ? null : new Secret(pair.slice(colon + 1))
}
