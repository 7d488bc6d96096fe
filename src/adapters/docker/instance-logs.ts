import type { Readable } from 'node:stream'
import { LineSplitter } from '../../kernel/terminal-text.ts'
import type { InstanceLogLine, InstanceLogOptions } from '../../runtime/index.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'

/** What a container prints, with the engine's times. Reads no faster than it is read: the engine's stream is paused meanwhile. */
export async function* readInstanceLog(
  engine: Engine,
  containerId: string,
  { tail, after, follow, signal }: InstanceLogOptions,
): AsyncIterable<InstanceLogLine> {
  const since = after === null ? {} : { since: unixTime(after) }
  const which = { stdout: true, stderr: true, timestamps: true, tail, ...since }
  const opened = await engine.call(
    'read log',
    (docker, abortSignal): Promise<unknown> => {
      const container = docker.getContainer(containerId)
      // The types know whole seconds only; the engine takes nanoseconds behind a point.
      const options = { ...which, follow, abortSignal: follow ? signal : abortSignal }
      return (container.logs as (options: object) => Promise<unknown>).call(container, options)
    },
    { signal },
  )
  const lines: InstanceLogLine[] = []
  const push = (line: string): void => {
    const space = line.indexOf(' ')
    const cursor = line.slice(0, space)
    // `since` is inclusive.
    if (space > 0 && cursor !== after) lines.push({ cursor, text: line.slice(space + 1) })
  }
  const splitters = { stdout: new LineSplitter(push), stderr: new LineSplitter(push) }
  const demux = makeDemuxer((output, content) => splitters[output].write(content))
  for await (const chunk of chunksOf(opened, signal)) {
    demux(chunk)
    yield* lines.splice(0)
  }
  splitters.stdout.end()
  splitters.stderr.end()
  yield* lines
}

/** Without `follow` the answer comes whole. A stream that ends because nobody wants more is not an error. */
async function* chunksOf(opened: unknown, signal: AbortSignal): AsyncIterable<Buffer> {
  if (Buffer.isBuffer(opened)) {
    yield opened
    return
  }
  const stream = opened as Readable
  const end = (): void => void stream.destroy()
  signal.addEventListener('abort', end, { once: true })
  try {
    for await (const chunk of stream) yield chunk as Buffer
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', end)
    stream.destroy()
  }
}

/** `2026-11-21T10:00:00.123456789Z` as seconds with nine decimals. */
function unixTime(cursor: string): string {
  const [, seconds = '', nanoseconds = '0'] = /^(.*?)(?:\.(\d{1,9}))?Z$/.exec(cursor) ?? []
  const at = Date.parse(`${seconds}Z`)
  return Number.isNaN(at) ? '0' : `${at / 1000}.${nanoseconds.padEnd(9, '0')}`
}
