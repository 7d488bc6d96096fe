import type { Response } from 'express'
import { SlipwayError } from '../kernel/errors.ts'
import type { HttpLimits } from './needs.ts'

/*
 * Answers that go on: server-sent events, and plain text that follows. A stream is written no faster than it is read, so
 * a stalled reader costs one socket and no memory, and is cut off after a while; it can come back and go on.
 */

export interface Streams {
  /** Begins the answer. Throws `unavailable` when too many are open. */
  openEvents(res: Response): EventStream
  openText(res: Response, type?: 'text/plain' | 'application/x-ndjson'): TextStream
  count(): number
}

export interface TextStream {
  /** Fires when the reader is gone or stalled, or the server stops. */
  readonly signal: AbortSignal
  /** True when the server stops: the reader should come back. */
  isClosing(): boolean
  /** Resolves when there is room for more, or the signal has fired. */
  readonly write: (text: string) => Promise<void>
  end(): void
}

export interface EventStream extends Omit<TextStream, 'write'> {
  send(event: ServerEvent): Promise<void>
  /** Sends although the signal has fired, and ends the answer; what cannot be written any more is lost. */
  sendLast(event: ServerEvent): void
}

export interface ServerEvent {
  /** Where to go on after this event: comes back as Last-Event-ID. */
  readonly id?: string
  readonly event: string
  readonly data: unknown
}

/** How soon a reader that was told to come back should try, in milliseconds. */
const retryMs = 1_000

export function makeStreams(options: { closing: AbortSignal; limits: HttpLimits }): Streams {
  const { closing, limits } = options
  const open = new Set<Response>()

  const begin = (res: Response, type: string, ping: string): TextStream => {
    if (open.size >= limits.openStreams) {
      throw new SlipwayError('unavailable', `${limits.openStreams} streams are open already.`, {
        hint: 'Try again in a moment.',
      })
    }
    open.add(res)
    const over = new AbortController()
    const { signal } = over
    const stop = (): void => over.abort()
    const leave = (): void => {
      clearInterval(timer)
      open.delete(res)
      closing.removeEventListener('abort', stop)
      stop()
    }
    closing.addEventListener('abort', stop, { once: true })
    if (closing.aborted) stop()
    let blockedTicks = 0
    const timer = setInterval(() => {
      blockedTicks = res.writableNeedDrain ? blockedTicks + 1 : 0
      if (blockedTicks * limits.pingMs >= limits.stallMs) res.destroy()
      else if (blockedTicks === 0 && ping !== '') res.write(ping)
    }, limits.pingMs)
    res.once('close', leave)
    res.once('error', leave)
    res.status(200).setHeader('Content-Type', `${type}; charset=utf-8`)
    res.setHeader('X-Accel-Buffering', 'no')
    res.flushHeaders()
    return {
      signal,
      isClosing: () => closing.aborted,
      async write(text) {
        if (!signal.aborted && !res.write(text)) await drained(res, signal)
      },
      end: () => res.end(),
    }
  }

  return {
    count: () => open.size,
    openText: (res, type = 'text/plain') => begin(res, type, ''),
    openEvents(res) {
      const { write, ...stream } = begin(res, 'text/event-stream', ': ping\n\n')
      res.write(`retry: ${retryMs}\n\n`)
      return { ...stream, send: (event) => write(renderEvent(event)), sendLast: (event) => res.end(renderEvent(event)) }
    },
  }
}

/** Data is JSON, so it holds no line ends; ids and names are ours. */
export function renderEvent({ id, event, data }: ServerEvent): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

function drained(res: Response, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    res.once('drain', done)
    signal.addEventListener('abort', done, { once: true })
    if (signal.aborted) done()
  })
}

/** The items of `source` until the signal fires, even when the source does not listen to it. */
export async function* until<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await nextOrAbort(iterator, signal)
      if (next === null || next.done === true) return
      yield next.value
    }
  } catch (error) {
    // Whatever a source throws because it was told to stop is no failure.
    if (!signal.aborted) throw error
  } finally {
    iterator.return?.().then(undefined, () => undefined)
  }
}

/** Null when the signal fires first. Not Promise.race: its reactions on a long-lived promise would pile up, one for each item. */
function nextOrAbort<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T> | null> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(null)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    iterator
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort))
  })
}
