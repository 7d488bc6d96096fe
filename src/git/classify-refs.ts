import { asSlipwayError } from '../kernel/errors.ts'
import { parseBranchName, quote } from '../kernel/names.ts'

export type RefKind =
  | { readonly kind: 'branch'; readonly branch: string }
  | { readonly kind: 'tag' | 'note' }
  | { readonly kind: 'refused'; readonly reason: string }

/** What a pushed ref is. `ref` holds bytes as latin1; the reason is one line that fits behind `! [remote rejected] … (`. */
export function classifyRef(ref: string): RefKind {
  const name = decode(ref)
  if (name === null) return refused('its name is not UTF-8')
  if (name.startsWith('refs/slipway/')) return refused('refs/slipway is Slipway’s own')
  const [, folder, rest = ''] = /^refs\/([a-z]+)\/(.+)$/s.exec(name) ?? []
  if (folder === 'heads' && rest === 'HEAD') return refused('a branch cannot be called HEAD')
  // With refs/heads/refs/heads/main in a repository, Git finds main ambiguous, and nobody can push to it any more.
  if ((folder === 'heads' || folder === 'tags') && rest.startsWith('refs/')) {
    return refused(`the name of a ${folder === 'heads' ? 'branch' : 'tag'} cannot begin with refs/`)
  }
  if (folder !== 'heads' && folder !== 'tags' && folder !== 'notes') {
    return refused(`only branches, tags and notes can be pushed, not ${quote(name)}`)
  }
  try {
    // Tags and notes keep to the rules of branches: the same tools list and print them.
    const branch = parseBranchName(rest)
    return folder === 'heads' ? { kind: 'branch', branch } : { kind: folder === 'tags' ? 'tag' : 'note' }
  } catch (error) {
    return refused(
      asSlipwayError(error).message.replace('of a branch', folder === 'heads' ? 'of a branch' : 'of a tag'),
    )
  }
}

function refused(reason: string): RefKind {
  return { kind: 'refused', reason }
}

function decode(latin1: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(latin1, 'latin1'))
  } catch {
    return null
  }
}
