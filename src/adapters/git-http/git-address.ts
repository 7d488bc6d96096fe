import { parseAppName } from '../../kernel/names.ts'

export type GitService = 'git-upload-pack' | 'git-receive-pack'

/** What an address asks for. */
export type GitAddress =
  | { readonly kind: 'advertise' | 'rpc'; readonly app: string; readonly service: GitService }
  /** Below `<name>.git`, but nothing that a client which speaks the smart protocol asks for. */
  | { readonly kind: 'lfs' | 'other' }

const smart =
  /^\/(.{1,200}?)\.git\/(?:info\/refs\?service=(git-upload-pack|git-receive-pack)|(git-upload-pack|git-receive-pack))$/

/**
 * Reads the raw address of a request, nothing decoded: what is not written exactly as Git clients write it is not Git. null:
 * none of Git's business. Throws `bad_request` when the name cannot be an app's.
 */
export function parseGitAddress(method: string, url: string): GitAddress | null {
  if (!/\.git(?:[/?#]|$)/i.test(url)) return null
  const [, name = '', advertised, called] = smart.exec(url) ?? []
  const service = (advertised ?? called) as GitService | undefined
  const wanted = advertised === undefined ? 'POST' : 'GET'
  if (service === undefined || method !== wanted) {
    return { kind: /^\/[a-z0-9-]{1,100}\.git\/info\/lfs\//.test(url) ? 'lfs' : 'other' }
  }
  return { kind: advertised === undefined ? 'rpc' : 'advertise', app: parseAppName(name), service }
}
