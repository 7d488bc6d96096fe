import type { IncomingMessage } from 'node:http'
import type { InstanceLogLine, InstanceLogOptions } from '../../runtime/index.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'

/** Of a longer line only the beginning is kept: more than anybody is shown of it, so that the cut is told there. */
const longestKeptBytes = 8 * 1024 + 64

/**
 * What a container prints, with the engine's times, until it ends. Reads no faster than it is read: the engine's stream is
 * paused meanwhile.
 */
export async function* readInstanceLog(
  engine: Engine,
  containerId: string,
  { since, newest, signal }: InstanceLogOptions,
): AsyncIterable<readonly InstanceLogLine[]> {
  // Also for one that has ended `follow`: without it the answer is made whole, and may be of 30 MB.
  const query = new URLSearchParams({ stdout: '1', stderr: '1', timestamps: '1', follow: '1' })
  if (since !== null) query.set('since', unixTime(since))
  if (newest !== undefined) query.set('tail', String(newest))
  const path = `/containers/${encodeURIComponent(containerId)}/logs?${query.toString()}`
  const stream = await engine.stream('read log', path, signal)
  let lines: InstanceLogLine[] = []
  const assembly = makeLineAssembly((line) => lines.push(line))
  const demux = makeDemuxer(assembly.add)
  for await (const chunk of chunksOf(stream, signal)) {
    demux(chunk)
    if (lines.length === 0) continue
    yield lines
    lines = []
  }
  if (signal.aborted) return
  assembly.end()
  if (lines.length > 0) yield lines
}

interface LineAssembly {
  readonly add: (output: InstanceLogLine['output'], message: Buffer) => void
  readonly end: () => void
}

/**
 * Lines from the engine's messages, each with its time in front. The engine cuts lines at 16 KiB: the pieces have the time
 * of the first, and only the last ends with a line end.
 */
export function makeLineAssembly(onLine: (line: InstanceLogLine) => void): LineAssembly {
  const open: Partial<Record<InstanceLogLine['output'], { at: string; pieces: Buffer[]; bytes: number }>> = {}

  const finish = (output: InstanceLogLine['output']): void => {
    const line = open[output]
    if (line === undefined) return
    delete open[output]
    const text = line.pieces.length === 1 ? line.pieces[0] : Buffer.concat(line.pieces)
    onLine({ at: line.at, output, text: lastState((text as Buffer).toString('utf8')) })
  }

  return {
    add(output: InstanceLogLine['output'], message: Buffer): void {
      const space = message.indexOf(0x20)
      if (space < 0) return
      const at = message.toString('latin1', 0, space)
      const isWhole = message[message.length - 1] === 0x0a
      const content = message.subarray(space + 1, isWhole ? -1 : undefined)
      // An engine that was killed in the middle of a line never says its end.
      if (open[output] !== undefined && open[output].at !== at) finish(output)
      const line = (open[output] ??= { at, pieces: [], bytes: 0 })
      if (line.bytes < longestKeptBytes) line.pieces.push(copyOf(content.subarray(0, longestKeptBytes - line.bytes)))
      line.bytes += content.length
      if (isWhole) finish(output)
    },
    end(): void {
      finish('stdout')
      finish('stderr')
    },
  }
}

/** A piece of a chunk would keep all of the chunk in memory; small ones are read at once. */
function copyOf(piece: Buffer): Buffer {
  return piece.length < 1024 ? piece : Buffer.from(piece)
}

/** Of a line that redraws itself (progress bars) only the last state is kept. */
function lastState(text: string): string {
  const line = text.endsWith('\r') ? text.slice(0, -1) : text
  return line.slice(line.lastIndexOf('\r') + 1)
}

/** A stream that ends because nobody wants more is not an error. */
async function* chunksOf(stream: IncomingMessage, signal: AbortSignal): AsyncIterable<Buffer> {
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
function unixTime(at: string): string {
  const [, seconds = '', nanoseconds = '0'] = /^(.*?)(?:\.(\d{1,9}))?Z$/.exec(at) ?? []
  const time = Date.parse(`${seconds}Z`)
  return Number.isNaN(time) ? '0' : `${time / 1000}.${nanoseconds.padEnd(9, '0')}`
}
