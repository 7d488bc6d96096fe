import { z } from 'zod'
import type { DeployRequest } from '../../../deploys/index.ts'
import type { Environment } from '../../../environments/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { count, deployParams, environmentParams, name, nothing } from '../../schemas.ts'
import { deploySchema, presentDeploy, presentQueued, queuedDeploy } from './presenter.ts'
import { assertNoContent, assertOneWay, chooseCommit, commitName } from './wish.ts'

const deployList = z.strictObject({
  deploys: z.array(deploySchema),
  /** Pass as `before` for the next page; null on the last. */
  next: z.number().int().nullable(),
})

const cancelledDeploy = z.strictObject({
  ...deploySchema.shape,
  /** The newest line of its log before it was asked: what comes after tells of its end. */
  logAfter: z.number().int(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'deploys' | 'deployPlans' | 'reads' | 'commits' | 'db'>

export function deployRoutes(needs: Needs): Route[] {
  return [...lineRoutes(needs), ...singleRoutes(needs)]
}

/** Those of an environment. */
function lineRoutes({ environments, deploys, deployPlans, commits, db }: Needs): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/deploys',
      tag: 'deploys',
      summary: 'The deploys of an environment, newest first',
      action: 'apps.read',
      params: environmentParams,
      query: z.strictObject({ limit: count(1, 200).default(20), before: count(1, 999_999_999).optional() }),
      body: nothing,
      success: { status: 200, description: 'The deploys', schema: deployList },
      about: ({ app }) => app,
      async handle({ params, query }) {
        const { id } = await environments.get(params.app, params.environment)
        const { limit, before } = query
        const page = await deploys.list(id, { limit, ...(before === undefined ? {} : { before }) })
        const last = page.length === limit ? page.at(-1) : undefined
        return { json: { deploys: page.map(presentDeploy), next: last?.id ?? null } }
      },
    }),
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments/:environment/deploys',
      tag: 'deploys',
      summary: 'Deploy a commit, or the newest of the branch that the environment follows',
      action: 'deploys.request',
      params: environmentParams,
      query: nothing,
      body: z.strictObject({
        commit: commitName.optional(),
        /** Builds it although an image of the same commit and settings is kept. */
        forceRebuild: z.boolean().default(false),
        /** The image that serves, with the settings of today; nothing is built, whatever commits there are. */
        reuseImage: z.boolean().default(false),
        /** Refused: there is no content yet. */
        contentFrom: name.optional(),
      }),
      success: { status: 202, description: 'The deploy stands in line; follow it at Location', schema: queuedDeploy },
      about: ({ app }) => app,
      async handle({ params, body, principal }) {
        const environment = await environments.get(params.app, params.environment)
        assertNoContent(body.contentFrom)
        assertOneWay(body)
        const wanted = body.reuseImage
          ? await deployPlans.reuse(environment)
          : { commit: await chooseCommit(commits, environment, body.commit), forceRebuild: body.forceRebuild }
        const request = { ...requestFor(environment, wanted.commit, principal.name), ...wanted }
        const queued = await db.transaction((tx) => deploys.request(tx, request))
        deploys.wake()
        const deploy = await deploys.get(queued.deployId)
        return { json: presentQueued(deploy, queued), location: `/api/v1/deploys/${queued.deployId}` }
      },
    }),
  ]
}

/** Those of one deploy. */
function singleRoutes({ deploys, reads }: Pick<Needs, 'deploys' | 'reads'>): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/deploys/:id',
      tag: 'deploys',
      summary: 'One deploy',
      action: 'apps.read',
      params: deployParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The deploy', schema: deploySchema },
      about: async ({ id }) => (await deploys.get(id)).app,
      handle: async ({ params }) => ({ json: presentDeploy(await deploys.get(params.id)) }),
    }),
    defineRoute({
      method: 'post',
      path: '/deploys/:id/cancellation',
      tag: 'deploys',
      summary: 'Ask a deploy to end; what runs stays as it is',
      action: 'deploys.cancel',
      params: deployParams,
      query: nothing,
      body: nothing,
      success: {
        status: 202,
        description: 'It is asked; follow its log from logAfter until it has ended',
        schema: cancelledDeploy,
      },
      about: async ({ id }) => (await deploys.get(id)).app,
      async handle({ params, principal }) {
        const logAfter = await reads.newestLine(params.id)
        await deploys.cancel(params.id, principal.name)
        const deploy = presentDeploy(await deploys.get(params.id))
        return { json: { ...deploy, logAfter }, location: `/api/v1/deploys/${params.id}` }
      },
    }),
  ]
}

function requestFor(environment: Environment, commit: string, requestedBy: string): DeployRequest {
  const { id: environmentId, followedBranch: branch } = environment
  return { environmentId, kind: 'deploy', branch, commit, requestedBy, pushId: null }
}
