import { runGit } from './git.ts'

/*
 * Git's own store for passwords: with the token in it, remotes hold none. Where no store is set up for this server, Git's
 * `store` is, for this server only.
 */

export type GitCredential = 'known' | 'not-stored' | 'no-git'

export async function hasCredentialHelper(origin: string): Promise<boolean> {
  const { stdout } = await runGit(['config', '--get-urlmatch', 'credential.helper', origin])
  return stdout.trim() !== ''
}

export async function isGitThere(): Promise<boolean> {
  return (await runGit(['--version'])).code === 0
}

export async function useStoreHelper(origin: string): Promise<void> {
  await runGit(['config', '--global', `credential.${origin}.helper`, 'store'])
}

/** Gives the token to Git's helper and asks for it again, since a helper may forget silently. */
export async function approveCredential(origin: string, token: string): Promise<GitCredential> {
  const { code } = await runGit(['credential', 'approve'], describe(origin, `username=slipway\npassword=${token}\n`))
  if (code === null) return 'no-git'
  const found = await runGit(['credential', 'fill'], describe(origin, ''))
  return found.stdout.split('\n').includes(`password=${token}`) ? 'known' : 'not-stored'
}

export async function rejectCredential(origin: string, token: string): Promise<void> {
  await runGit(['credential', 'reject'], describe(origin, `username=slipway\npassword=${token}\n`))
  await runGit(['config', '--global', '--unset', `credential.${origin}.helper`, '^store$'])
}

/** The origin is parsed and the token is visible ASCII, so neither holds a line end. */
function describe(origin: string, rest: string): string {
  const { protocol, host } = new URL(origin)
  return `protocol=${protocol.slice(0, -1)}\nhost=${host}\n${rest}\n`
}
