import { z } from 'zod'
import type { Logger } from '../../../kernel/logger.ts'
import { sanitizeLine } from '../../../kernel/terminal-text.ts'
import type { HttpNeeds, RuntimeLogLine, RuntimeLogOptions, RuntimeLogs } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { count, environmentParams, flag, nothing, since } from '../../schemas.ts'
import { type EventStream, type Streams, type TextStream, until } from '../../streams.ts'

type Needs = Pick<HttpNeeds, 'environments' | 'runtimeLogs' | 'logger'> & { streams: Streams }

export function logRoutes({ environments, runtimeLogs, logger, streams }: Needs): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/apps/:app/environments/:environment/logs',
      tag: 'logs',
      summary:
        'What the environment’s instances print and printed, of every release that is kept; with source also what the proxy says of its requests (router) and the logs of its deploys (deploy). As text/event-stream: events “line” whose id is the place to go on from (Last-Event-ID); “end”, or “come-back” when the server stops',
      action: 'apps.read',
      params: environmentParams,
      query: z.strictObject({
        tail: count(0, 10_000).default(100),
        /** A time, or how long ago: 90s, 10m, 2h, 3d. */
        since: since.optional(),
        release: release.optional(),
        /** Of what containers print: only of this process, instance, job or release command. */
        process: z
          .string()
          .regex(
            /^[a-z][a-z0-9_-]{0,29}(?:\.[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?)?$/,
            'must be a process such as worker, an instance such as worker.2, cron.<label> or release.<label>',
          )
          .optional(),
        /** Several with commas. */
        source: sources.default(['app']),
        /** Default: true for an event stream, false for text. */
        follow: flag.optional(),
      }),
      body: nothing,
      success: {
        status: 200,
        description: 'The lines, oldest first',
        streams: ['text/plain', 'text/event-stream'],
      },
      about: ({ app }) => app,
      async handle({ params, query, request }) {
        const { id } = await environments.get(params.app, params.environment)
        const wantsEvents = request.accepts(['text/plain', 'text/event-stream']) === 'text/event-stream'
        const follow = query.follow ?? wantsEvents
        const after = request.get('last-event-id') ?? ''
        if (after !== '') runtimeLogs.assertCursor(after)
        if (query.release !== undefined) await runtimeLogs.assertRelease(id, query.release)
        const options = {
          tail: query.tail,
          since: query.since ?? null,
          release: query.release ?? null,
          process: query.process ?? null,
          sources: query.source,
          after: after === '' ? null : after,
          follow,
        }
        if (!wantsEvents) return { stream: (res) => sendText(runtimeLogs, id, streams.openText(res), options) }
        return { stream: (res) => sendEvents(runtimeLogs, id, streams.openEvents(res), { ...options, logger }) }
      },
    }),
  ]
}

const release = z
  .string()
  .regex(/^v?[1-9][0-9]{0,8}$/, 'must be a release such as v12')
  .transform((text) => Number(text.replace('v', '')))
const sources = z
  .string()
  .transform((text) => [...new Set(text.split(','))])
  .pipe(z.array(z.enum(['app', 'router', 'deploy'], { error: 'must be app, router or deploy' })))

type Options = Omit<RuntimeLogOptions, 'signal'>

async function sendText(logs: RuntimeLogs, id: number, stream: TextStream, options: Options): Promise<void> {
  const { signal } = stream
  for await (const line of until(logs.read(id, { ...options, signal }), signal)) {
    await stream.write(
      `${line.release === null ? '' : `${line.release} `}${line.instance} | ${sanitizeLine(line.text)}\n`,
    )
  }
  stream.end()
}

async function sendEvents(
  logs: RuntimeLogs,
  id: number,
  stream: EventStream,
  { logger, ...options }: Options & { logger: Logger },
): Promise<void> {
  const { signal } = stream
  try {
    for await (const line of until(logs.read(id, { ...options, signal }), signal)) {
      await stream.send({ id: line.cursor, event: 'line', data: presentLine(line) })
    }
    await stream.send({ event: options.follow ? 'come-back' : 'end', data: {} })
  } catch (error) {
    logger.warn('an environment’s logs could not be read further', { environmentId: id, error })
    await stream.send({ event: 'come-back', data: {} })
  }
  if (stream.isClosing()) stream.sendLast({ event: 'come-back', data: {} })
  else stream.end()
}

function presentLine(line: RuntimeLogLine) {
  const { source, release, instance, text } = line
  return { at: line.at.toISOString(), source, release, instance, text: sanitizeLine(text) }
}
