import type { Readable } from 'node:stream'
import { isAway, SlipwayError } from '../../kernel/errors.ts'
import { LineSplitter } from '../../kernel/terminal-text.ts'
import type { Exit, RunOptions } from '../../runtime/index.ts'
import { asInstance, inspectContainer, inspectEnded, stopOwn } from './containers.ts'
import { makeDemuxer } from './demux.ts'
import type { Engine } from './engine.ts'

/** An engine that is silent for longer is away: a restart takes 0.5 to 12 s (measured). */
const engineGraceMs = 60_000
const heartbeatMs = 5_000
const lastLinesMs = 2_000

interface FollowOptions {
  readonly engine: Engine
  readonly installation: string
}

/**
 * Follows the output of a container from its beginning and resolves when it has ended. Lives through a restart of the engine
 * (the stream goes on behind the last line seen); throws `unavailable` when the engine stays away, and the container goes on.
 */
export async function followCommand(id: string, run: RunOptions, options: FollowOptions): Promise<Exit> {
  const limit = new AbortController()
  const timer = setTimeout(() => {
    limit.abort(new SlipwayError('timeout', `It was still running after ${run.timeoutMs / 1000} s and was stopped.`))
  }, run.timeoutMs)
  const signal = AbortSignal.any([run.signal, limit.signal])
  try {
    return await followUntilEnd(id, run, options.engine, signal)
  } catch (error) {
    if (!signal.aborted) throw error
    // Not bound to the signal: it has fired.
    await stopOwn(options.engine, options.installation, id, 10_000)
    throw signal.reason
  } finally {
    clearTimeout(timer)
  }
}

async function followUntilEnd(id: string, run: RunOptions, engine: Engine, signal: AbortSignal): Promise<Exit> {
  const log = makeLogReader(run)
  let heardAt = performance.now()
  for (;;) {
    try {
      const ended = log.read(await openLog(engine, id, log.since(), signal))
      for (let over = false; !over; ) {
        over = await endsWithin(ended, heartbeatMs, signal)
        const exit = await readExit(engine, id)
        heardAt = performance.now()
        if (exit === null) continue
        // The last lines may still be on their way. The engine (20.10) ends some streams without them: asked again, it has them.
        if (await endsWithin(ended, lastLinesMs, signal)) {
          await endsWithin(log.read(await openLog(engine, id, log.since(), signal)), lastLinesMs, signal)
        }
        log.end()
        return exit
      }
      // The stream was cut, or ended a moment before the container is marked as ended.
      await endsWithin(null, 50, signal)
    } catch (error) {
      if (signal.aborted || !isAway(error) || performance.now() - heardAt > engineGraceMs) throw error
      await endsWithin(null, 500, signal)
    } finally {
      log.close()
    }
  }
}

async function readExit(engine: Engine, id: string): Promise<Exit | null> {
  const info = await inspectEnded(() => inspectContainer(engine, id))
  if (info === null) throw new SlipwayError('command_failed', 'The command’s container was removed while it ran.')
  const { state, exitCode, outOfMemory } = asInstance(info)
  return state === 'exited' ? { exitCode: exitCode ?? -1, outOfMemory } : null
}

async function openLog(engine: Engine, id: string, since: string, signal: AbortSignal): Promise<Readable> {
  // The types want a number, which has no room for nanoseconds.
  const how = { follow: true as const, stdout: true, stderr: true, timestamps: true, since: since as unknown as number }
  const stream = await engine.call('follow log', (docker) => docker.getContainer(id).logs(how), { signal })
  return stream as unknown as Readable
}

/** Reads streams of one log one after the other without losing or repeating a line, by the engine's time stamps. */
function makeLogReader({ onLine, room }: RunOptions) {
  const splitters = { stdout: new LineSplitter(onLine), stderr: new LineSplitter(onLine) }
  let newest = ''
  let open: Readable | null = null
  return {
    since: () => (newest === '' ? '0' : toUnixTime(newest)),
    async read(stream: Readable): Promise<void> {
      open = stream
      const after = newest
      const demux = makeDemuxer((output, frame) => {
        const space = frame.indexOf(0x20)
        const stamp = frame.subarray(0, space).toString('latin1')
        // `since` includes its moment: what stands at or before the newest stamp was seen.
        if (stamp <= after) return
        if (stamp > newest) newest = stamp
        splitters[output].write(frame.subarray(space + 1))
      })
      stream.on('data', (chunk: Buffer) => {
        demux(chunk)
        if (room === undefined) return
        stream.pause()
        void room()
          // What cannot be stored is told by whoever stores it.
          .catch(() => undefined)
          .then(() => stream.resume())
      })
      await new Promise<void>((resolve) => {
        stream.once('end', resolve)
        stream.once('close', resolve)
        stream.once('error', () => resolve())
      })
    },
    close(): void {
      open?.destroy()
      open = null
    },
    end(): void {
      splitters.stdout.end()
      splitters.stderr.end()
    },
  }
}

/** 2026-01-02T03:04:05.123456789Z → seconds.nanoseconds, which is what the engine takes. */
function toUnixTime(stamp: string): string {
  const [seconds = '', fraction = '0'] = stamp.replace(/Z$/, '').split('.')
  return `${Math.floor(Date.parse(`${seconds}Z`) / 1000)}.${fraction.padEnd(9, '0')}`
}

/** True when it ended, false when the time was over first; rejects when the signal fires. Leaves no timer behind. */
function endsWithin(ended: Promise<void> | null, ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
    const stop = (): void => {
      leave()
      reject(signal.reason instanceof Error ? signal.reason : new SlipwayError('cancelled', 'It was cancelled.'))
    }
    const timer = setTimeout(() => {
      leave()
      resolve(false)
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    void ended?.then(() => {
      leave()
      resolve(true)
    })
  })
}
