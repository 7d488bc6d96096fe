import { SlipwayError } from '../../../kernel/errors.ts'
import { shortCommit } from '../../../kernel/short-commit.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, nothing, releaseNumber } from '../../schemas.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'
import { z } from 'zod'

type Needs = Pick<HttpNeeds, 'environments' | 'releases' | 'commits' | 'deploys' | 'db'>

export function rebuildRoute({ environments, releases, commits, deploys, db }: Needs): Route {
  return defineRoute({
    method: 'post',
    path: '/apps/:app/environments/:environment/releases/:release/rebuilds',
    tag: 'releases',
    summary: 'Make a release anew: a new build of its commit with the variables of today, deployed as a new release',
    action: 'deploys.request',
    params: z.strictObject({ ...environmentParams.shape, release: releaseNumber }),
    query: nothing,
    body: nothing,
    success: { status: 202, description: 'The deploy stands in line; follow it at Location', schema: queuedDeploy },
    about: ({ app }) => app,
    async handle({ params, principal }) {
      const { id: environmentId, name, app } = await environments.get(params.app, params.environment)
      const release = await releases.get({ environmentId, environment: name, number: params.release })
      const { commit, number } = release
      await assertThere(commits, { app, commit, number })
      const queued = await db.transaction((tx) =>
        deploys.request(tx, {
          environmentId,
          kind: 'deploy',
          branch: release.deploy?.branch ?? null,
          commit,
          requestedBy: principal.name,
          pushId: null,
          forceRebuild: true,
          rebuildOf: release.id,
          notes: [`v${number} is made anew: its commit ${shortCommit(commit)}, with the variables of today`],
        }),
      )
      deploys.wake()
      const deploy = await deploys.get(queued.deployId)
      return { json: presentQueued(deploy, queued), location: `/api/v1/deploys/${queued.deployId}` }
    },
  })
}

/** Commits of releases that are not kept go, too, unless a branch has them. */
async function assertThere(
  commits: Needs['commits'],
  { app, commit, number }: { app: string; commit: string; number: number },
): Promise<void> {
  await commits.resolveCommit(app, commit).catch((error: unknown) => {
    if (!(error instanceof SlipwayError && error.code === 'not_found')) throw error
    const short = shortCommit(commit)
    throw new SlipwayError('conflict', `The commit ${short} of v${number} is not in the repository any more.`, {
      hint: `Push a branch that has it, for instance: git push divio ${short}:refs/heads/again. Then do this again.`,
      cause: error,
    })
  })
}
