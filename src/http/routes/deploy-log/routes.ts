import { z } from 'zod'
import { hasEnded, type LogLine, renderLine } from '../../../deploys/index.ts'
import { SlipwayError } from '../../../kernel/errors.ts'
import type { HttpNeeds } from '../../needs.ts'
import { defineRoute, type Route } from '../../route.ts'
import { count, deployParams, flag, nothing } from '../../schemas.ts'
import { type EventStream, type Streams, type TextStream, until } from '../../streams.ts'
import { presentDeploy } from '../deploys/presenter.ts'

type Sources = Pick<HttpNeeds, 'deploys' | 'reads' | 'logger'>
type Needs = Sources & { streams: Streams }

const pageSize = 500

export function deployLogRoutes({ streams, ...sources }: Needs): Route[] {
  const { deploys } = sources
  return [
    defineRoute({
      method: 'get',
      path: '/deploys/:id/log',
      tag: 'deploys',
      summary:
        'The log of a deploy. As text/event-stream: events “line” whose id is the place to go on from (Last-Event-ID), then “end” with the deploy as it ended, or “come-back” when the server stops',
      action: 'apps.read',
      params: deployParams,
      query: z.strictObject({
        after: count(0, 999_999_999).default(0),
        /** Default: true for an event stream, false for text. */
        follow: flag.optional(),
      }),
      body: nothing,
      success: {
        status: 200,
        description: 'The lines as a pusher sees them',
        streams: ['text/plain', 'text/event-stream'],
      },
      about: async ({ id }) => (await deploys.get(id)).app,
      async handle({ params, query, request }) {
        const wantsEvents = request.accepts(['text/plain', 'text/event-stream']) === 'text/event-stream'
        const from = { deployId: params.id, follow: query.follow ?? wantsEvents }
        if (!wantsEvents) {
          return { stream: (res) => sendText(sources, streams.openText(res), { ...from, after: query.after }) }
        }
        const after = readLastEventId(request.get('last-event-id')) ?? query.after
        return { stream: (res) => sendEvents(sources, streams.openEvents(res), { ...from, after }) }
      },
    }),
  ]
}

interface From {
  readonly deployId: number
  readonly after: number
  readonly follow: boolean
}

async function sendText(sources: Sources, stream: TextStream, from: From): Promise<void> {
  for await (const line of readLines(sources, from, stream.signal)) await stream.write(`${renderLine(line)}\n`)
  stream.end()
}

async function sendEvents(sources: Sources, stream: EventStream, from: From): Promise<void> {
  try {
    for await (const line of readLines(sources, from, stream.signal)) {
      const data = {
        seq: line.seq,
        at: line.at.toISOString(),
        kind: line.kind,
        text: line.text,
        line: renderLine(line),
      }
      await stream.send({ id: String(line.seq), event: 'line', data })
    }
    if (!stream.signal.aborted) {
      const deploy = await sources.deploys.get(from.deployId)
      // A log that stops while its deploy goes on is not the end: whoever reads it should ask again.
      const event = hasEnded(deploy.state) || !from.follow ? 'end' : 'come-back'
      await stream.send({ event, data: presentDeploy(deploy) })
    }
  } catch (error) {
    sources.logger.warn('a deploy’s log could not be followed further', { deployId: from.deployId, error })
    await stream.send({ event: 'come-back', data: {} })
  }
  if (stream.isClosing()) stream.sendLast({ event: 'come-back', data: {} })
  else stream.end()
}

function readLines({ deploys, reads }: Sources, from: From, signal: AbortSignal): AsyncIterable<LogLine> {
  const lines = from.follow ? deploys.follow(from.deployId, { after: from.after, signal }) : readAll(reads, from)
  return until(lines, signal)
}

async function* readAll(reads: Sources['reads'], { deployId, after }: From): AsyncGenerator<LogLine> {
  for (let last = after; ; ) {
    const page = await reads.readLog(deployId, { after: last, limit: pageSize })
    yield* page
    if (page.length < pageSize) return
    last = page.at(-1)?.seq ?? last
  }
}

function readLastEventId(value: string | undefined): number | null {
  if (value === undefined || value === '') return null
  if (!/^[0-9]{1,9}$/.test(value)) {
    throw new SlipwayError('bad_request', 'Last-Event-ID must be the number of a line of this log.')
  }
  return Number(value)
}
