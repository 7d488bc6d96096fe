import type { IncomingMessage } from 'node:http'
import { pipeline, type Readable, type Writable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { SlipwayError } from '../../kernel/errors.ts'

export interface BodyLimits {
  /** Unpacked bytes. */
  readonly maxBytes: number
  /** How long the client may send nothing while it is waited for. */
  readonly idleMs: number
}

/**
 * The request's body, unpacked when it is gzipped. Ends with `too_large` over the limit, `timeout` when the client stalls,
 * `cancelled` when it hangs up. The request itself is never destroyed, so that it can still be answered.
 */
export function readBody(req: IncomingMessage, limits: BodyLimits): AsyncGenerator<Buffer, void> {
  const gzipped = /^(?:x-)?gzip$/i.test(req.headers['content-encoding'] ?? '')
  const source: Readable = gzipped ? pipeline(req, createGunzip(), () => undefined) : req
  return read(source, req, limits)
}

async function* read(source: Readable, req: IncomingMessage, limits: BodyLimits): AsyncGenerator<Buffer, void> {
  const chunks = source.iterator({ destroyOnReturn: false })
  let bytes = 0
  for (;;) {
    const next = await nextChunk(chunks, req, limits.idleMs)
    if (next.done === true) return
    const chunk = next.value as Buffer
    bytes += chunk.length
    if (bytes > limits.maxBytes)
      throw new SlipwayError('too_large', `The request is larger than ${limits.maxBytes} bytes.`)
    yield chunk
  }
}

async function nextChunk(
  chunks: AsyncIterator<unknown>,
  req: IncomingMessage,
  idleMs: number,
): Promise<IteratorResult<unknown>> {
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SlipwayError('timeout', `The client sent nothing for ${idleMs / 1000} s.`)),
      idleMs,
    )
  })
  try {
    return await Promise.race([chunks.next(), stalled])
  } catch (error) {
    if (error instanceof SlipwayError) throw error
    if (req.complete)
      throw new SlipwayError('bad_request', 'The body of the request cannot be unpacked.', { cause: error })
    throw new SlipwayError('cancelled', 'The client hung up.', { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** Writes all of it, as fast as the reader takes it. Resolves early when the reader is gone. */
export async function feed(body: AsyncIterable<Buffer>, into: Writable): Promise<void> {
  for await (const chunk of body) {
    if (!into.writable) return
    if (!into.write(chunk)) await roomIn(into)
  }
  into.end()
}

/** What comes until the end, or until the stream is cut: how a child ended says its exit. */
export async function* readUntilEnd(stream: Readable): AsyncGenerator<Buffer, void> {
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (error) {
    if (!stream.destroyed) throw error
  }
}

/** Resolves when the stream takes more or is gone. */
export function roomIn(stream: Writable, limitMs?: number): Promise<'room' | 'gone' | 'stalled'> {
  return new Promise((resolve) => {
    const end = (result: 'room' | 'gone' | 'stalled') => (): void => {
      clearTimeout(timer)
      stream.off('drain', onDrain).off('close', onClose).off('error', onClose)
      resolve(result)
    }
    const onDrain = end('room')
    const onClose = end('gone')
    const timer = limitMs === undefined ? undefined : setTimeout(end('stalled'), limitMs)
    if (stream.destroyed) return onClose()
    stream.on('drain', onDrain).on('close', onClose).on('error', onClose)
  })
}

/** Reads what is left of the request and throws it away, up to a limit of time; then the connection is cut. */
export async function discardRest(req: IncomingMessage, limitMs: number): Promise<void> {
  if (req.complete || req.destroyed) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      req.destroy()
      resolve()
    }, limitMs)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    req.once('end', done).once('close', done).once('error', done)
    // Taking the readers off first: with one, the stream waits for it.
    req.unpipe()
    req.removeAllListeners('readable')
    req.resume()
  })
}
