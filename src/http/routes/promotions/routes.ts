import { z } from 'zod'
import type { PromotionPlan } from '../../../promotions/index.ts'
import { compareCommits } from '../../../releases/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { environmentSchema, presentEnvironment } from '../environments/presenter.ts'
import { environmentParams, name, nothing, releaseNumber } from '../../schemas.ts'
import { presentQueued, queuedDeploy } from '../deploys/presenter.ts'
import { comparisonSchema, presentComparison } from '../releases/presenter.ts'

export const promotionPlanSchema = z.strictObject({
  from: z.strictObject({ environment: z.string(), release: z.string(), commit: z.string() }),
  to: z.string(),
  /** From what the target serves to what it will; null: nothing was deployed there yet. Variables are the target’s own. */
  comparison: comparisonSchema.nullable(),
  /** Names of those that the image was built with otherwise than the target would have it. */
  buildVariables: z.array(z.string()),
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
      const { source, buildVariables, commands, endsHold } = plan
      const names = { from: target.name, to: from.name }
      return {
        json: {
          from: { environment: from.name, release: `v${source.number}`, commit: source.commit },
          to: target.name,
          comparison: await present(commits, { app: target.app, plan, names }),
          ...{ buildVariables: [...buildVariables], commands: [...commands], endsHold },
          lock: presentEnvironment(target, facts).lock,
        },
      }
    },
  })
}

interface Shown {
  readonly app: string
  readonly plan: PromotionPlan
  readonly names: { readonly from: string; readonly to: string }
}

async function present(
  commits: Needs['commits'],
  { app, plan: { comparison }, names }: Shown,
): Promise<z.input<typeof comparisonSchema> | null> {
  if (comparison === null) return null
  const { from, to } = comparison
  return presentComparison(comparison, names, await compareCommits(commits, app, { from: from.commit, to: to.commit }))
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
