import { z } from 'zod'
import { compareCommits } from '../../../releases/index.ts'
import type { RollbackPlan } from '../../../rollbacks/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentParams, flag, isoTime, nothing, releaseNumber, time } from '../../schemas.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'
import { comparisonSchema, presentComparison } from '../releases/presenter.ts'

export const rollbackPlanSchema = z.strictObject({
  /** From what serves to what is gone back to. Its variables are those that the new release will have. */
  comparison: comparisonSchema,
  /** Release commands that have run since for other builds, newest first: what they did to the data stays done. */
  commandsSince: z.strictObject({
    total: z.number().int(),
    first: z.array(
      z.strictObject({
        label: z.string(),
        deploy: z.number().int(),
        release: z.string().nullable(),
        at: time,
        /** Null: it was stopped. */
        exitCode: z.number().int().nullable(),
      }),
    ),
  }),
  /** What is to be known, in sentences. */
  notes: z.array(z.string()),
  /** Somebody holds the environment’s deploys back; null: nobody does. */
  lock: environmentSchema.shape.lock,
})

type Needs = Pick<HttpNeeds, 'environments' | 'rollbacks' | 'deploys' | 'commits' | 'facts'>

export function rollbackRoutes(needs: Needs): Route[] {
  return [planRoute(needs), beginRoute(needs)]
}

function planRoute({ environments, rollbacks, commits, facts }: Needs): Route {
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/rollback-plan',
    tag: 'releases',
    summary: 'What going back to an earlier release would change; nothing is done',
    action: 'apps.read',
    params: environmentParams,
    query: z.strictObject({
      /** Left out: the one that served before. */
      release: releaseNumber.optional(),
      keepVariables: flag.default(false),
      hold: flag.default(true),
    }),
    body: nothing,
    success: { status: 200, description: 'What would go back, and what would not', schema: rollbackPlanSchema },
    about: ({ app }) => app,
    async handle({ params, query }) {
      const environment = await environments.get(params.app, params.environment)
      const plan = await rollbacks.plan(environment, { ...query, release: query.release ?? null })
      const { from, to } = plan.comparison
      const history = await compareCommits(commits, environment.app, { from: from.commit, to: to.commit })
      const names = { from: environment.name, to: environment.name }
      return {
        json: {
          comparison: presentComparison(plan.comparison, names, history),
          commandsSince: presentCommands(plan.commands),
          notes: [...plan.notes],
          lock: presentEnvironment(environment, facts).lock,
        },
      }
    },
  })
}

function beginRoute({ environments, rollbacks, deploys }: Needs): Route {
  return defineRoute({
    method: 'post',
    path: '/apps/:app/environments/:environment/rollbacks',
    tag: 'releases',
    summary: 'Go back to an earlier release: its image, configuration and variables become a new release',
    action: 'deploys.request',
    params: environmentParams,
    query: nothing,
    body: z.strictObject({
      /** Left out: the one that served before. */
      release: releaseNumber.optional(),
      /** The variables of today, in place of those of then. */
      keepVariables: z.boolean().default(false),
      /** Pushes are not deployed any more until somebody deploys or promotes by hand. */
      hold: z.boolean().default(true),
    }),
    success: { status: 202, description: 'The deploy stands in line; follow it at Location', schema: queuedDeploy },
    about: ({ app }) => app,
    async handle({ params, body, principal }) {
      const environment = await environments.get(params.app, params.environment)
      const wish = { ...body, release: body.release ?? null, by: principal.name }
      const queued = await rollbacks.begin(environment, wish)
      const deploy = await deploys.get(queued.deployId)
      return { json: presentQueued(deploy, queued), location: `/api/v1/deploys/${queued.deployId}` }
    },
  })
}

function presentCommands({
  total,
  first,
}: RollbackPlan['commands']): z.input<typeof rollbackPlanSchema>['commandsSince'] {
  return {
    total,
    first: first.map(({ label, deployId, release, at, exitCode }) => {
      return { label, deploy: deployId, release: release === null ? null : `v${release}`, at: isoTime(at), exitCode }
    }),
  }
}
