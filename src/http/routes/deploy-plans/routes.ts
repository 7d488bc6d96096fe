import { z } from 'zod'
import { compareCommits } from '../../../releases/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, flag, name, nothing } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'
import { differencesSchema, presentDifferences } from '../releases/presenter.ts'
import { assertNoContent, assertOneWay, chooseCommit, commitName } from '../deploys/wish.ts'

export const deployPlanSchema = z.strictObject({
  environment: environmentSchema,
  commit: z.string(),
  /** What serves now; null: nothing. */
  current: z.strictObject({ release: z.string(), commit: z.string() }).nullable(),
  /** The image that is taken; null: one is built. */
  image: z
    .strictObject({ build: z.number().int(), release: z.string().nullable(), environment: z.string().nullable() })
    .nullable(),
  ...differencesSchema.shape,
  /** Names of those that the image was built with otherwise than the environment has them now. */
  buildVariables: z.array(z.string()),
  instances: z.array(z.strictObject({ process: z.string(), instances: z.number().int() })),
  /** The release commands that will run. */
  commands: z.array(z.string()),
  warnings: z.array(z.string()),
})

type Needs = Pick<HttpNeeds, 'environments' | 'deployPlans' | 'commits' | 'facts'>

export function deployPlanRoutes({ environments, deployPlans, commits, facts }: Needs): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/deploy-plan',
      tag: 'deploys',
      summary: 'What a deploy would build or take, and change; nothing is done',
      action: 'apps.read',
      params: environmentParams,
      query: z.strictObject({
        commit: commitName.optional(),
        forceRebuild: flag.default(false),
        reuseImage: flag.default(false),
        contentFrom: name.optional(),
      }),
      body: nothing,
      success: { status: 200, description: 'What would be done', schema: deployPlanSchema },
      about: ({ app }) => app,
      async handle({ params, query }) {
        const environment = await environments.get(params.app, params.environment)
        assertNoContent(query.contentFrom)
        assertOneWay(query)
        const commit = query.reuseImage ? null : await chooseCommit(commits, environment, query.commit)
        const plan = await deployPlans.plan(environment, { commit, forceRebuild: query.forceRebuild })
        const { current, image } = plan
        const range = { from: current?.commit ?? null, to: plan.commit }
        const between = await compareCommits(commits, environment.app, range)
        return {
          json: {
            environment: presentEnvironment(environment, facts),
            commit: plan.commit,
            current: current === null ? null : { release: `v${current.number}`, commit: current.commit },
            image:
              image === null
                ? null
                : {
                    build: image.build,
                    release: image.release === null ? null : `v${image.release}`,
                    environment: image.environment,
                  },
            ...presentDifferences(plan, between),
            buildVariables: [...plan.buildVariables],
            instances: [...plan.instances],
            commands: [...plan.commands],
            warnings: [...plan.warnings],
          },
        }
      },
    }),
  ]
}
