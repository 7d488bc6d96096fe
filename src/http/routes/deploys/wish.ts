import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import { SlipwayError } from '../../../kernel/errors.ts'
import { parseCommitName, quote } from '../../../kernel/names.ts'
import type { HttpNeeds } from '../../needs.ts'

/*
 * What somebody can want of a deploy.
 */

/** A branch, a tag, or the first 4 or more characters of a commit’s id. */
export const commitName = z.string().min(1, 'must not be empty').max(220, 'is too long')

/** The place of an environment's content (databases, media) in a deploy is before its release commands; nothing holds any yet. */
export function assertNoContent(from: string | undefined): void {
  if (from === undefined) return
  throw new SlipwayError(
    'bad_request',
    `There is no content that could come from ${quote(from)}: this version of Slipway has no databases and no media for apps yet.`,
    { hint: 'Leave --content-from out. What your app keeps elsewhere is not touched by a deploy.' },
  )
}

/** What is taken cannot be chosen or built. */
export function assertOneWay(wish: { commit?: string | undefined; forceRebuild: boolean; reuseImage: boolean }): void {
  if (!wish.reuseImage || (wish.commit === undefined && !wish.forceRebuild)) return
  throw new SlipwayError(
    'bad_request',
    'The image that serves is used again, so there is no commit to choose and nothing to build.',
    {
      hint: 'Leave --reuse-image out, or give it alone.',
    },
  )
}

export async function chooseCommit(
  commits: Pick<HttpNeeds['commits'], 'tipOf' | 'resolveCommit'>,
  environment: Environment,
  given: string | undefined,
): Promise<string> {
  if (given !== undefined) {
    return commits.resolveCommit(environment.app, parseCommitName(given)).catch((error: unknown) => {
      throw isReleaseName(given) ? hintRelease(error, environment, given) : error
    })
  }
  const branch = environment.followedBranch
  const tip = branch === null ? null : await commits.tipOf(environment.app, branch)
  if (tip !== null) return tip
  const why = branch === null ? 'Nothing was pushed yet' : `The branch ${quote(branch)} was not pushed yet`
  throw new SlipwayError('conflict', `${why}, so there is nothing to deploy to ${environment.name}.`, {
    hint: `Push first: git push <remote> ${branch ?? 'main'}`,
  })
}

const isReleaseName = (text: string): boolean => /^v[1-9][0-9]{0,8}$/.test(text)

/** Whoever says `v12` may mean the release. */
function hintRelease(error: unknown, { name, app }: Environment, release: string): unknown {
  if (!(error instanceof SlipwayError && error.code === 'not_found')) return error
  return new SlipwayError('not_found', error.message, {
    hint: `If you mean the release: slipway rollback ${name} ${release} -a ${app}, or to build its commit again: slipway releases rebuild ${release} ${name} -a ${app}`,
    cause: error,
  })
}
