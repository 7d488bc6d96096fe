import { z } from 'zod'
import type { Environment } from '../../../environments/index.ts'
import type { Commit } from '../../../git/index.ts'
import { compareCommits, type ReleasePlace } from '../../../releases/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { count, environmentParams, nothing, releaseNumber } from '../../schemas.ts'
import {
  comparisonSchema,
  presentComparison,
  presentDetails,
  presentRelease,
  releaseDetails,
  releaseSchema,
} from './presenter.ts'
import { rebuildRoute } from './rebuild.ts'

const releaseParams = z.strictObject({ ...environmentParams.shape, release: releaseNumber })

/** `v11`, or `live:v7` of another environment of the app. */
const elsewhere = /^(?:([a-z0-9-]{1,40}):)?v?([1-9][0-9]{0,8})$/

const releaseList = z.strictObject({
  releases: z.array(releaseSchema),
  /** Pass as `before` for the next page; null on the last. */
  next: z.string().nullable(),
})

type Needs = Pick<HttpNeeds, 'environments' | 'releases' | 'commits' | 'reads' | 'deploys' | 'db' | 'facts' | 'logger'>

export function releaseRoutes(needs: Needs): Route[] {
  return [listRoute(needs), showRoute(needs), pinRoute(needs), comparisonRoute(needs), rebuildRoute(needs)]
}

const placeOf = ({ id, name }: Environment, number: number): ReleasePlace => ({
  environmentId: id,
  environment: name,
  number,
})

/** What commits say is an ornament: without git there are releases all the same. */
async function describe({ commits, logger }: Needs, app: string, ids: string[]): Promise<ReadonlyMap<string, Commit>> {
  return commits.describeCommits(app, ids).catch((error: unknown) => {
    logger.warn('the commits of releases could not be read', { app, error })
    return new Map<string, Commit>()
  })
}

function listRoute(needs: Needs): Route {
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/releases',
    tag: 'releases',
    summary: 'The releases of an environment, newest first',
    action: 'apps.read',
    params: environmentParams,
    query: z.strictObject({ limit: count(1, 200).default(20), before: releaseNumber.optional() }),
    body: nothing,
    success: { status: 200, description: 'The releases', schema: releaseList },
    about: ({ app }) => app,
    async handle({ params, query: { limit, before } }) {
      const { id, name, app } = await needs.environments.get(params.app, params.environment)
      const page = await needs.releases.list(id, { limit, ...(before === undefined ? {} : { before }) })
      const commits = await describe(
        needs,
        app,
        page.map(({ commit }) => commit),
      )
      const last = page.length === limit ? page.at(-1) : undefined
      return {
        json: {
          releases: page.map((release) => presentRelease(release, name, commits.get(release.commit))),
          next: last === undefined ? null : `v${last.number}`,
        },
      }
    },
  })
}

function showRoute(needs: Needs): Route {
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/releases/:release',
    tag: 'releases',
    summary: 'One release: what it is made of, who made it, and how its steps went',
    action: 'apps.read',
    params: releaseParams,
    query: nothing,
    body: nothing,
    success: { status: 200, description: 'The release', schema: releaseDetails },
    about: ({ app }) => app,
    async handle({ params }) {
      const environment = await needs.environments.get(params.app, params.environment)
      const release = await needs.releases.get(placeOf(environment, params.release))
      const { id: environmentId, label, live, name, app } = environment
      const [commits, answers] = await Promise.all([
        describe(needs, app, [release.commit]),
        needs.reads.hasReleaseAddress({ environmentId, live, releaseId: release.id }),
      ])
      const url = answers ? needs.facts.urls.release(label, release.number) : null
      return { json: presentDetails(release, { environment: name, url }, commits.get(release.commit)) }
    },
  })
}

function pinRoute(needs: Needs): Route {
  return defineRoute({
    method: 'patch',
    path: '/apps/:app/environments/:environment/releases/:release',
    tag: 'releases',
    summary: 'Pin a release: its image is kept however old it gets; or no longer',
    action: 'releases.pin',
    params: releaseParams,
    query: nothing,
    body: z.strictObject({ pinned: z.boolean() }),
    success: { status: 200, description: 'The release', schema: releaseSchema },
    about: ({ app }) => app,
    async handle({ params, body, principal }) {
      const environment = await needs.environments.get(params.app, params.environment)
      const place = placeOf(environment, params.release)
      const release = await needs.releases.setPinned(place, body.pinned, principal.name)
      const commits = await describe(needs, environment.app, [release.commit])
      return { json: presentRelease(release, environment.name, commits.get(release.commit)) }
    },
  })
}

function comparisonRoute(needs: Needs): Route {
  const { environments, releases, commits } = needs
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/releases/:release/comparison',
    tag: 'releases',
    summary: 'What this release has that another one has not, and the other way round',
    action: 'apps.read',
    params: releaseParams,
    query: z.strictObject({
      /** `v11` of the same environment, or `live:v7` of another one of the app. */
      from: z.string().regex(elsewhere, 'must be a release such as v11, or live:v7'),
    }),
    body: nothing,
    success: { status: 200, description: 'The differences', schema: comparisonSchema },
    about: ({ app }) => app,
    async handle({ params, query }) {
      const environment = await environments.get(params.app, params.environment)
      const [, otherName = environment.name, otherNumber] = elsewhere.exec(query.from) ?? []
      const other = await environments.get(params.app, otherName)
      const compared = await releases.compare(placeOf(other, Number(otherNumber)), placeOf(environment, params.release))
      const between = { from: compared.from.commit, to: compared.to.commit }
      const names = { from: other.name, to: environment.name }
      const history = await compareCommits(commits, environment.app, between)
      return { json: presentComparison(compared, names, history) }
    },
  })
}
