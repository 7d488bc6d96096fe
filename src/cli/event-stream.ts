import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from './client.ts'
import { exits, Failure } from './failure.ts'

export interface StreamEvent {
  readonly id: string | null
  readonly event: string
  readonly data: unknown
}

export interface FollowOptions {
  readonly signal: AbortSignal
  /** Called once when the connection is lost, and once when it is back. */
  readonly onLost: (why: string) => void
  readonly onBack: () => void
  /** False: a server that cannot be reached at first ends it at once. */
  readonly patient: boolean
}

/** What came is no event stream; asking again will not mend it. */
class BrokenStream extends Failure {}

/** The server pings every 15 s; three missed are a dead connection. */
const silentMs = 45_000
const backoffMs = [200, 500, 1_000, 2_000, 4_000, 8_000]
const giveUpMs = 10 * 60_000
const longestEvent = 1024 * 1024

/**
 * The events of a stream until one named `end`, which is the last. A connection that is lost, or that the server ends
 * because it stops, is made again after the last event that was seen: no event comes twice, none is left out.
 */
export async function* followEvents(client: Client, path: string, options: FollowOptions): AsyncGenerator<StreamEvent> {
  const { signal } = options
  let lastId: string | null = null
  let failures = 0
  let lostAt: number | null = null
  for (;;) {
    try {
      const headers = { accept: 'text/event-stream', ...(lastId === null ? {} : { 'last-event-id': lastId }) }
      const res = await client.open(path, headers, { silentMs, signal })
      if (lostAt !== null) options.onBack()
      lostAt = null
      for await (const event of readEvents(res)) {
        failures = 0
        if (event.event === 'come-back') break
        lastId = event.id ?? lastId
        yield event
        if (event.event === 'end') return
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof BrokenStream) throw error
      const unreachable = !(error instanceof Failure) || error.exit === exits.unreachable || error.exit === exits.failed
      const first = lastId === null && lostAt === null && !options.patient && failures === 0
      if (!unreachable || (first && error instanceof Failure)) throw error
      if (lostAt !== null && performance.now() - lostAt > giveUpMs) throw error
      if (lostAt === null) options.onLost(error instanceof Error ? error.message : String(error))
      lostAt ??= performance.now()
    }
    if (signal.aborted) return
    await delay(backoffMs[Math.min(failures, backoffMs.length - 1)], undefined, { signal }).catch(() => undefined)
    failures += 1
  }
}

/** Cuts the bytes of an answer into events, as the HTML standard describes them. */
export async function* readEvents(res: IncomingMessage | AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let draft: { id: string | null; event: string; data: string[] } = { id: null, event: 'message', data: [] }
  for await (const chunk of res as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true })
    if (rest.length > longestEvent) throw new BrokenStream(exits.failed, 'The server sent an event without an end.')
    const lines = rest.split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (draft.data.length > 0) yield { id: draft.id, event: draft.event, data: parse(draft.data.join('\n')) }
        draft = { id: null, event: 'message', data: [] }
        continue
      }
      const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (field === 'id') draft.id = value
      else if (field === 'event') draft.event = value
      else if (field === 'data') draft.data.push(value)
    }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new BrokenStream(exits.failed, 'The server sent an event that is not JSON.')
  }
}
