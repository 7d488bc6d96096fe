import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import { SlipwayError } from '../../../kernel/errors.ts'
import { quote } from '../../../kernel/names.ts'
import type { HttpNeeds } from '../../needs.ts'

/*
 * What somebody can want of a deploy.
 */

export const commitId = z.string().regex(/^[0-9a-f]{7,64}$/i, 'must be a commit id: 7 to 64 characters 0–9 and a–f')

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
  if (given !== undefined) return commits.resolveCommit(environment.app, given.toLowerCase())
  const branch = environment.followedBranch
  const tip = branch === null ? null : await commits.tipOf(environment.app, branch)
  if (tip !== null) return tip
  const why = branch === null ? 'Nothing was pushed yet' : `The branch ${quote(branch)} was not pushed yet`
  throw new SlipwayError('conflict', `${why}, so there is nothing to deploy to ${environment.name}.`, {
    hint: `Push first: git push <remote> ${branch ?? 'main'}`,
  })
}
