import { exits, Failure } from './failure.ts'

/** The origin of a server that a person typed: `https://` is added, `http://` where it is this machine. No path, no user. */
export function parseServerUrl(text: string): string {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
    ? text
    : `${isLoopbackHost(hostOf(text)) ? 'http' : 'https'}://${text}`
  const url = URL.canParse(withScheme) ? new URL(withScheme) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new Failure(exits.wrongUse, `“${text}” is not the URL of a server.`, 'Example: http://slipway.localhost:8080')
  }
  if (url.username !== '' || url.password !== '') {
    throw new Failure(
      exits.wrongUse,
      'The URL must not hold a user or a token.',
      'Give the token with --token or SLIPWAY_TOKEN.',
    )
  }
  return url.origin
}

function hostOf(text: string): string {
  return text.split(/[/:?#]/, 1)[0] ?? ''
}

/** Names below localhost are this machine, whether or not a resolver knows them (RFC 6761). */
export function isLoopbackHost(host: string): boolean {
  return (
    host === 'localhost' || host.endsWith('.localhost') || /^127(?:\.[0-9]{1,3}){3}$/.test(host) || host === '[::1]'
  )
}
