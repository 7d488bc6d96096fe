import { SlipwayError } from './errors.ts'

/*
 * The one place where names from outside become names that may reach a path, SQL, the engine or the proxy's socket.
 * Each function takes anything and returns the same string, or throws `bad_request` with a sentence for people.
 */

const appName = /^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$/
const environmentName = /^[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?$/
const reserved = new Set([
  'slipway',
  'git',
  'www',
  'api',
  'admin',
  'localhost',
  'registry',
  'mail',
  'ns',
  'static',
  'assets',
])

export function parseAppName(value: string): string {
  return parseName(value, appName, 'app', 30)
}

export function parseEnvironmentName(value: string): string {
  return parseName(value, environmentName, 'environment', 20)
}

function parseName(value: string, shape: RegExp, what: string, longest: number): string {
  if (!shape.test(value) || value.includes('--') || /^v[0-9]+$/.test(value)) {
    throw new SlipwayError('bad_request', `${quote(value)} cannot be the name of an ${what}.`, {
      hint: `Use 1 to ${longest} characters: a–z first, then a–z, 0–9 and single hyphens, not like v12. Example: shop`,
    })
  }
  if (reserved.has(value)) {
    throw new SlipwayError('bad_request', `The name ${quote(value)} is reserved.`, {
      hint: `Choose another name for the ${what}.`,
    })
  }
  return value
}

/** A full commit id, SHA-1 or SHA-256, lower case. */
export function parseCommitId(value: string): string {
  if (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is not a full commit id.`)
}

/**
 * A branch name as git-check-ref-format(1) allows it, and a little stricter: no leading hyphen, no control characters, at
 * most 200 bytes. Returns the name without `refs/heads/`.
 */
export function parseBranchName(value: string): string {
  if (isRefName(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} cannot be the name of a branch here.`, {
    hint: 'Push it under another name: git push <remote> HEAD:refs/heads/<name>',
  })
}

/** What somebody may call a commit: a branch, a tag, an id or its beginning. No ranges, no steps back, no paths. */
export function parseCommitName(value: string): string {
  if (isRefName(value)) return value
  throw new SlipwayError('bad_request', `${quote(value)} is no name of a commit.`, {
    hint: 'Give a branch, a tag, or the first 4 or more characters of the commit’s id.',
  })
}

function isRefName(value: string): boolean {
  const bad =
    value === '' ||
    Buffer.byteLength(value) > 200 ||
    value.startsWith('-') ||
    value === '@' ||
    value.includes('..') ||
    value.includes('@{') ||
    value.endsWith('.') ||
    /[\u0000-\u0020\u007f-\u00a0~^:?*[\\\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/.test(value) ||
    value.split('/').some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock'))
  return !bad
}

/** Quotes a foreign value for a message: printable ASCII as it is, all else escaped, cut at 80 characters. */
export function quote(value: string): string {
  const cut = value.length > 80 ? `${value.slice(0, 79)}…` : value
  return `“${cut.replace(/[^\x20-\x7e…]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`)}”`
}
