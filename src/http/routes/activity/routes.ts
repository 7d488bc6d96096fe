import { z } from 'zod'
import type { Activity, ActivityFilter, Entry } from '../../../activity/index.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { appParams, count, isoTime, name, nothing, time } from '../../schemas.ts'
import { type EventStream, type Streams, type TextStream, until } from '../../streams.ts'

type Needs = Pick<HttpNeeds, 'activity' | 'environments' | 'logger'> & { streams: Streams }

export const entrySchema = z.strictObject({
  id: z.number().int(),
  at: time,
  kind: z.string(),
  by: z.string(),
  /** `cli 203.0.113.9`, `git …`, `api …`; null for what Slipway does itself. */
  origin: z.string().nullable(),
  app: z.string().nullable(),
  environment: z.string().nullable(),
  deploy: z.number().int().nullable(),
  release: z.string().nullable(),
  what: z.string(),
})

const page = z.strictObject({
  entries: z.array(entrySchema),
  /** `before` of the next, older page; null when there is none. */
  next: z.number().int().nullable(),
})

const overAll = z.strictObject({
  /** Who did it. */
  by: name.optional(),
  /** `deploy` for all about deploys, or one kind: `deploy.failed`. */
  kind: z
    .string()
    .regex(/^[a-z]{1,40}(?:\.[a-z-]{1,40})?$/, 'must be a kind such as deploy or deploy.failed')
    .optional(),
  deploy: count(1, 999_999_999).optional(),
  before: count(1, 999_999_999).optional(),
  limit: count(1, 1000).default(50),
})

const ofApp = overAll.extend({ environment: name.optional() })

const streamTypes = ['text/event-stream', 'application/x-ndjson']
const summary = (of: string): string =>
  `What was done ${of}, the newest first. As application/x-ndjson: all of it, an entry a line. As text/event-stream: what is done from now on, as events “entry” whose id is the place to go on from (Last-Event-ID)`

export function activityRoutes(needs: Needs): Route[] {
  const { activity, environments } = needs
  const answer = async (appId: number | null, asked: z.output<typeof ofApp>, request: Accepting) => {
    if (asked.kind !== undefined) activity.assertKind(asked.kind)
    const filter = { appId, ...filterOf(asked) }
    const type = request.accepts(['application/json', ...streamTypes])
    if (type === 'text/event-stream') {
      const last = request.get('last-event-id') ?? ''
      const after = last === '' ? null : last
      if (after !== null) activity.assertCursor(after)
      return { stream: (res: Res) => sendEvents(needs, needs.streams.openEvents(res), { filter, after }) }
    }
    const from = { filter, before: asked.before ?? null }
    if (type === 'application/x-ndjson') {
      return { stream: (res: Res) => sendAll(activity, needs.streams.openText(res, type), from) }
    }
    const entries = await activity.list(filter, { limit: asked.limit, before: from.before })
    const isFull = entries.length === asked.limit
    return { json: { entries: entries.map(presentEntry), next: isFull ? (entries.at(-1)?.id ?? null) : null } }
  }
  const common = { method: 'get', tag: 'activity', body: nothing } as const
  const success = { status: 200, description: 'The entries', schema: page, streams: streamTypes } as const
  return [
    defineRoute({
      ...common,
      path: '/activity',
      summary: summary('on this server'),
      action: 'server.read',
      params: nothing,
      query: overAll,
      success,
      about: () => null,
      handle: ({ query: asked, request }) => answer(null, asked, request),
    }),
    defineRoute({
      ...common,
      path: '/apps/:app/activity',
      summary: summary('to an app'),
      action: 'apps.read',
      params: appParams,
      query: ofApp,
      success,
      about: ({ app }) => app,
      async handle({ params, query: asked, request }) {
        const { id } = await environments.getApp(params.app)
        return answer(id, asked, request)
      },
    }),
  ]
}

interface Accepting {
  accepts(types: string[]): string | false
  get(header: string): string | undefined
}
type Res = Parameters<Streams['openEvents']>[0]

function filterOf({ environment, by, kind, deploy }: z.output<typeof ofApp>): Omit<ActivityFilter, 'appId'> {
  return { environment: environment ?? null, by: by ?? null, kind: kind ?? null, deployId: deploy ?? null }
}

function presentEntry({ at, deployId, ...entry }: Entry): z.input<typeof entrySchema> {
  const { id, kind, by, origin, app, environment, release, what } = entry
  return { id, at: isoTime(at), kind, by, origin, app, environment, deploy: deployId, release, what }
}

async function sendAll(
  activity: Activity,
  stream: TextStream,
  from: { filter: ActivityFilter; before: number | null },
): Promise<void> {
  const limit = 500
  for (let before = from.before; !stream.signal.aborted; ) {
    const entries = await activity.list(from.filter, { limit, before })
    await stream.write(entries.map((entry) => `${JSON.stringify(presentEntry(entry))}\n`).join(''))
    if (entries.length < limit) break
    before = entries.at(-1)?.id ?? null
  }
  stream.end()
}

async function sendEvents(
  { activity, logger }: Needs,
  stream: EventStream,
  from: { filter: ActivityFilter; after: string | null },
): Promise<void> {
  const { signal } = stream
  try {
    for await (const { cursor, ...entry } of until(activity.follow(from.filter, { ...from, signal }), signal)) {
      await stream.send({ id: cursor, event: 'entry', data: presentEntry(entry) })
    }
  } catch (error) {
    logger.warn('activity could not be followed further', { error })
    await stream.send({ event: 'come-back', data: {} })
  }
  if (stream.isClosing()) stream.sendLast({ event: 'come-back', data: {} })
  else stream.end()
}
