import { z } from 'zod'
import { compareCommits } from '../../../releases/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'
import { environmentParams, name, nothing, releaseNumber } from '../../schemas.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'
import { commitsSchema, comparisonSchema, presentCommits, presentComparison } from '../releases/presenter.ts'

export const promotionPlanSchema = z.strictObject({
  from: z.strictObject({ environment: z.string(), release: z.string(), commit: z.string() }),
  to: z.string(),
  /** From what the target serves to what it will; null: nothing was deployed there yet. Variables are the target’s own. */
  comparison: comparisonSchema.nullable(),
  /** What comes to a target that serves nothing yet; null: it serves, or the commit is not in the repository any more. */
  firstCommits: commitsSchema.nullable(),
  /** Names of those that the image was built with otherwise than the target would have it. */
  buildVariables: z.array(z.string()),
  /** Why the image cannot be taken at all, and what to do; null: it can. */
  refusal: z.strictObject({ message: z.string(), hint: z.string().nullable() }).nullable(),
  /** The release commands that will run. */
  commands: z.array(z.string()),
  /** Pushes to the target are held, and will not be any more. */
  endsHold: z.boolean(),
  /** Somebody holds the target’s deploys back; null: nobody does. */
  lock: environmentSchema.shape.lock,
})

type Needs = Pick<HttpNeeds, 'environments' | 'promotions' | 'deploys' | 'commits' | 'facts'>

export function promotionRoutes(needs: Needs): Route[] {
  return [planRoute(needs), beginRoute(needs)]
}

function planRoute({ environments, promotions, commits, facts }: Needs): Route {
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/promotion-plan',
    tag: 'releases',
    summary: 'What promoting another environment’s release to this one would change; nothing is done',
    action: 'apps.read',
    params: environmentParams,
    query: z.strictObject({ from: name }),
    body: nothing,
    success: { status: 200, description: 'What would change', schema: promotionPlanSchema },
    about: ({ app }) => app,
    async handle({ params, query }) {
      const target = await environments.get(params.app, params.environment)
      const from = await environments.get(params.app, query.from)
      const plan = await promotions.plan(target, { from, release: null })
      const { source, buildVariables, commands, endsHold, refusal } = plan
      const names = { from: target.name, to: from.name }
      const range = { from: plan.comparison?.from.commit ?? null, to: source.commit }
      const between = await compareCommits(commits, target.app, range)
      return {
        json: {
          from: { environment: from.name, release: `v${source.number}`, commit: source.commit },
          to: target.name,
          comparison: plan.comparison === null ? null : presentComparison(plan.comparison, names, between),
          firstCommits: plan.comparison === null && between !== null ? presentCommits(between.added) : null,
          refusal: refusal === null ? null : { message: refusal.message, hint: refusal.hint ?? null },
          ...{ buildVariables: [...buildVariables], commands: [...commands], endsHold },
          lock: presentEnvironment(target, facts).lock,
        },
      }
    },
  })
}

function beginRoute({ environments, promotions, deploys }: Needs): Route {
  return defineRoute({
    method: 'post',
    path: '/apps/:app/environments/:environment/promotions',
    tag: 'releases',
    summary:
      'Put what another environment serves into this one: the same image, this one’s variables; nothing is built',
    action: 'deploys.request',
    params: environmentParams,
    query: nothing,
    body: z.strictObject({
      /** The environment whose release is taken. */
      from: name,
      /** What it has to serve; left out, whatever it does. */
      release: releaseNumber.optional(),
      /** Takes the image although it was built with other variables than this environment has. */
      anyway: z.boolean().default(false),
      /** Builds its commit again, with this environment’s variables. */
      rebuild: z.boolean().default(false),
    }),
    success: { status: 202, description: 'The deploy stands in line; follow it at Location', schema: queuedDeploy },
    about: ({ app }) => app,
    async handle({ params, body, principal }) {
      const target = await environments.get(params.app, params.environment)
      const from = await environments.get(params.app, body.from)
      const { anyway, rebuild, release = null } = body
      const queued = await promotions.begin(target, { from, release, anyway, rebuild, by: principal.name })
      const deploy = await deploys.get(queued.deployId)
      return { json: presentQueued(deploy, queued), location: `/api/v1/deploys/${queued.deployId}` }
    },
  })
}
