import { z } from 'zod'
import type { CronRun } from '../../../cron/index.ts'
import type { Logger } from '../../../kernel/logger.ts'
import { sanitizeLine } from '../../../kernel/terminal-text.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { count, environmentParams, name, nothing, since } from '../../schemas.ts'
import { type EventStream, type Streams, until } from '../../streams.ts'
import { cronJobSchema, cronRunSchema, presentJob, presentRun } from './presenter.ts'

type Needs = Pick<HttpNeeds, 'environments' | 'cron' | 'runtimeLogs' | 'logger'> & { streams: Streams }

const runParams = z.strictObject({
  ...environmentParams.shape,
  id: z
    .string()
    .regex(/^[1-9][0-9]{0,14}$/, 'must be the number of a run')
    .transform(Number),
})
const runsQuery = z.strictObject({
  job: name.optional(),
  state: cronRunSchema.shape.state.optional(),
  /** Due then or later: a time, or how long ago: 90s, 10m, 2h, 3d. */
  since: since.optional(),
  before: count(1, 999_999_999_999).optional(),
  limit: count(1, 1000).default(50),
})
const runsPage = z.strictObject({
  runs: z.array(cronRunSchema),
  /** `before` of the next, older page; null when there is none. */
  next: z.number().int().nullable(),
})
/** How soon a reader is told what was printed. */
const readEveryMs = 300
const mostLines = 10_000
/** The engine’s and the database’s. */
const clocksDifferMs = 50

export function cronRoutes(needs: Needs): Route[] {
  const { environments, cron } = needs
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/cron',
      tag: 'cron',
      summary: 'The jobs of what serves in an environment: when each is due next, and how its last run ended',
      action: 'apps.read',
      params: environmentParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The jobs', schema: z.strictObject({ jobs: z.array(cronJobSchema) }) },
      about: ({ app }) => app,
      async handle({ params }) {
        const { id } = await environments.get(params.app, params.environment)
        return { json: { jobs: (await cron.list(id)).map(presentJob) } }
      },
    }),
    defineRoute({
      method: 'post',
      path: '/apps/:app/environments/:environment/cron/:label/runs',
      tag: 'cron',
      summary: 'Run a job now, whatever its schedule says',
      action: 'deploys.request',
      params: z.strictObject({ ...environmentParams.shape, label: name }),
      query: nothing,
      body: nothing,
      success: { status: 202, description: 'It runs, or waits for its turn', schema: cronRunSchema },
      about: ({ app }) => app,
      async handle({ params: { app, environment, label }, principal }) {
        const { id } = await environments.get(app, environment)
        const run = await cron.runNow(id, label, principal.name)
        const location = `/api/v1/apps/${app}/environments/${environment}/cron/runs/${run.id}`
        return { json: presentRun(run), location }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/cron/runs',
      tag: 'cron',
      summary: 'The runs of an environment’s jobs, the newest first, those that were skipped too',
      action: 'apps.read',
      params: environmentParams,
      query: runsQuery,
      body: nothing,
      success: { status: 200, description: 'The runs', schema: runsPage },
      about: ({ app }) => app,
      async handle({ params, query }) {
        const { id } = await environments.get(params.app, params.environment)
        const { job: label, ...filter } = query
        const page = await cron.listRuns(id, { ...filter, label })
        const last = page.length === query.limit ? page.at(-1) : undefined
        return { json: { runs: page.map(presentRun), next: last?.id ?? null } }
      },
    }),
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/cron/runs/:id',
      tag: 'cron',
      summary: 'One run of a job',
      action: 'apps.read',
      params: runParams,
      query: nothing,
      body: nothing,
      success: { status: 200, description: 'The run', schema: cronRunSchema },
      about: ({ app }) => app,
      async handle({ params }) {
        const { id } = await environments.get(params.app, params.environment)
        return { json: presentRun(await cron.getRun(id, params.id)) }
      },
    }),
    logRoute(needs),
  ]
}

function logRoute({ environments, cron, runtimeLogs, logger, streams }: Needs): Route {
  return defineRoute({
    method: 'get',
    path: '/apps/:app/environments/:environment/cron/runs/:id/log',
    tag: 'cron',
    summary:
      'What a run prints, until it ends. Events “line” whose id is the place to go on from (Last-Event-ID); then “end” with the ' +
      'run, or “come-back” when the server stops',
    action: 'apps.read',
    params: runParams,
    query: nothing,
    body: nothing,
    success: { status: 200, description: 'The lines, oldest first', streams: ['text/event-stream'] },
    about: ({ app }) => app,
    async handle({ params, request }) {
      const { id } = await environments.get(params.app, params.environment)
      const run = await cron.getRun(id, params.id)
      const after = request.get('last-event-id') ?? ''
      if (after !== '') runtimeLogs.assertCursor(after)
      const from = after === '' ? null : after
      return { stream: (res) => sendLog({ cron, runtimeLogs, logger }, run, streams.openEvents(res), from) }
    },
  })
}

type Reading = Pick<Needs, 'cron' | 'runtimeLogs'> & { readonly logger: Logger }

/** Read again and again, and once more when it has ended and everything is kept. */
async function sendLog(
  { cron, runtimeLogs, logger }: Reading,
  { id, environmentId, label, dueAt, requestedBy, finishedAt }: CronRun,
  stream: EventStream,
  from: string | null,
): Promise<void> {
  const { signal } = stream
  // One that is asked for is due when it is asked for; the engine's clock may be a little behind the database's.
  const since = new Date(dueAt.getTime() - (requestedBy === null ? 0 : clocksDifferMs))
  // What comes later is of the runs after it.
  const untilMs = finishedAt === null ? Number.POSITIVE_INFINITY : finishedAt.getTime() + clocksDifferMs
  const which = {
    tail: mostLines,
    since,
    release: null,
    process: `cron.${label}`,
    sources: ['app' as const],
    follow: false,
    signal,
  }
  let after = from
  try {
    for (let hasEnded = false; !hasEnded && !signal.aborted; ) {
      hasEnded = await cron.waitForEnd(environmentId, id, readEveryMs)
      for await (const line of until(runtimeLogs.read(environmentId, { ...which, after }), signal)) {
        after = line.cursor
        if (line.instance !== `cron.${label}` || line.at.getTime() > untilMs) continue
        const data = { at: line.at.toISOString(), release: line.release, text: sanitizeLine(line.text) }
        await stream.send({ id: line.cursor, event: 'line', data })
      }
      if (hasEnded) await stream.send({ event: 'end', data: presentRun(await cron.getRun(environmentId, id)) })
    }
  } catch (error) {
    logger.warn('what a run prints could not be read further', { runId: id, error })
    await stream.send({ event: 'come-back', data: {} })
  }
  if (stream.isClosing()) stream.sendLast({ event: 'come-back', data: {} })
  else stream.end()
}
