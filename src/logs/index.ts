import type { Deploys, InstanceRecord } from '../deploys/index.ts'
import type { Clock } from '../kernel/clock.ts'
import type { InstanceLogLine, Runtime } from '../runtime/index.ts'

/** A line that an instance printed. */
export interface RuntimeLogLine {
  /** The engine's time: where to go on after this line. */
  readonly cursor: string
  readonly at: Date | null
  /** Which instance, for people: `v12.1`. */
  readonly instance: string
  /** Not sanitised. */
  readonly text: string
}

interface Options {
  readonly tail: number
  readonly after: string | null
  readonly follow: boolean
  readonly signal: AbortSignal
}

/** How often a follower looks whether another release serves now. */
const lookEveryMs = 1000

/** What the serving instances of an environment print, the releases that follow included. */
export function makeRuntimeLogs(parts: {
  deploys: Pick<Deploys, 'listInstances'>
  runtime: Pick<Runtime, 'readLog'>
  clock: Clock
}) {
  const { deploys, runtime, clock } = parts

  const listServing = async (environmentId: number): Promise<InstanceRecord[]> =>
    (await deploys.listInstances(environmentId)).filter((one) => one.state === 'serving' && one.containerId !== null)

  async function* readOnce(environmentId: number, options: Options): AsyncIterable<RuntimeLogLine> {
    const serving = await listServing(environmentId)
    const all = await Promise.all(
      serving.map((one) => collect(runtime.readLog(one.containerId as string, { ...options, follow: false }), one)),
    )
    yield* all
      .flat()
      .sort((a, b) => (a.cursor < b.cursor ? -1 : 1))
      .slice(-Math.max(0, options.tail) || Infinity)
  }

  async function* follow(environmentId: number, options: Options): AsyncIterable<RuntimeLogLine> {
    let { after, tail } = options
    const seen = new Set<string>()
    while (!options.signal.aborted) {
      for (const one of await listServing(environmentId)) {
        // One instance at a time: an environment has one until roles come. It ends when the container does.
        if (seen.has(one.containerId as string)) continue
        const lines = runtime.readLog(one.containerId as string, { tail, after, follow: true, signal: options.signal })
        for await (const line of lines) {
          after = line.cursor
          yield present(line, one)
        }
        seen.add(one.containerId as string)
        tail = Number.MAX_SAFE_INTEGER
      }
      seen.clear()
      await clock.sleep(lookEveryMs, options.signal).catch(() => undefined)
    }
  }

  return {
    read: (environmentId: number, options: Options): AsyncIterable<RuntimeLogLine> =>
      options.follow ? follow(environmentId, options) : readOnce(environmentId, options),
  }
}

async function collect(lines: AsyncIterable<InstanceLogLine>, instance: InstanceRecord): Promise<RuntimeLogLine[]> {
  const all: RuntimeLogLine[] = []
  for await (const line of lines) all.push(present(line, instance))
  return all
}

function present(line: InstanceLogLine, instance: InstanceRecord): RuntimeLogLine {
  return { ...line, at: new Date(line.cursor), instance: `v${instance.releaseNumber}.${instance.position}` }
}
