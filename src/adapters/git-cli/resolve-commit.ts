import { SlipwayError } from '../../kernel/errors.ts'
import { parseBranchName, parseCommitId, parseCommitName, quote } from '../../kernel/names.ts'

type Ask = (args: readonly string[]) => Promise<{ code: number | null; stdout: Buffer; stderr: string }>

async function revParse(ask: Ask, expression: string): Promise<string | null> {
  const { code, stdout } = await ask(['rev-parse', '--verify', '--quiet', '--end-of-options', expression])
  return code === 0 ? parseCommitId(stdout.toString('latin1').trim()) : null
}

/** The commit a branch points to; null when there is no such branch. */
export function resolveBranch(branch: string, ask: Ask): Promise<string | null> {
  return revParse(ask, `refs/heads/${parseBranchName(branch)}^{commit}`)
}

/** A branch or a tag of this name first: nobody who names one `cafe` means a commit. */
export async function resolveCommit(given: string, ask: Ask): Promise<string> {
  const name = parseCommitName(given)
  const isId = /^[0-9a-f]{4,40}$/i.test(name)
  const named = isId && name.length === 40 ? null : await findNamed(name, ask)
  const found = named ?? (isId ? await revParse(ask, `${name.toLowerCase()}^{commit}`) : null)
  if (found !== null) return found
  throw new SlipwayError('not_found', `There is no branch, tag or single commit ${quote(name)} in the repository.`, {
    hint: 'Push it first, or give more digits of the commit’s id.',
  })
}

/** A name in full is what it says; else it is looked for among branches and tags, and nowhere else. */
async function findNamed(name: string, ask: Ask): Promise<string | null> {
  if (/^refs\/(?:heads|tags)\//.test(name)) return revParse(ask, `${name}^{commit}`)
  const [branch, tag] = await Promise.all([
    revParse(ask, `refs/heads/${name}^{commit}`),
    revParse(ask, `refs/tags/${name}^{commit}`),
  ])
  if (branch === null || tag === null || branch === tag) return branch ?? tag
  throw new SlipwayError('conflict', `${quote(name)} is both a branch and a tag, of two commits.`, {
    hint: `Say which: refs/heads/${name} or refs/tags/${name}`,
  })
}
