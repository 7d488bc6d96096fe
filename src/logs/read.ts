import type { Clock } from '../kernel/clock.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Queryable } from '../postgres/database.ts'
import { decodeCursor } from './cursor.ts'
import type { Journals } from './journals.ts'
import type { LogSource, SourceLine } from './log-source.ts'
import { Reading, type Wanted } from './reading.ts'
import * as store from './store.ts'

/** A line of an environment's logs. */
export interface RuntimeLogLine {
  /** Where to go on behind it. */
  readonly cursor: string
  readonly at: Date
  readonly source: 'app' | 'router' | 'deploy'
  /** `v12`; null for what is not of one release. */
  readonly release: string | null
  /** Whose line it is: `web.1`, `router`, `deploy 57`. */
  readonly instance: string
  /** Safe to print. */
  readonly text: string
}

export interface RuntimeLogOptions extends Omit<Wanted, 'environmentId'> {
  readonly after: string | null
  readonly follow: boolean
  readonly signal: AbortSignal
}

/** How often the deploys' log, which tells nobody that it grew, is looked at by those who follow it. */
const deploysEveryMs = 1_000

/** What was kept of an environment's output, of its requests and of its deploys, read as one by time. */
export function makeRuntimeLogs({ journals, db, clock }: { journals: Journals; db: Queryable; clock: Clock }) {
  return {
    assertCursor: (text: string): void => void decodeCursor(text),
    async assertRelease(environmentId: number, release: number): Promise<void> {
      if (await store.hasRelease(db, environmentId, release)) return
      const { app, environment } = await store.getLogEnvironment(db, environmentId)
      throw new SlipwayError('not_found', `There is no release v${release} of ${environment}.`, {
        hint: `See them with: slipway deploys list ${environment} -a ${app}`,
      })
    },
    async *read(environmentId: number, options: RuntimeLogOptions): AsyncGenerator<RuntimeLogLine> {
      const { signal, after, follow } = options
      const environment = await store.getLogEnvironment(db, environmentId)
      const reading = new Reading({ journals, db }, environment, { ...options, environmentId })
      // Listening begins before reading, so that nothing written in between is missed.
      const news = makeNews(signal)
      const leave = journals.onWritten(environment, news.tell)
      const over = new AbortController()
      if (follow && options.sources.includes('deploy'))
        void tellEvery(clock, news, AbortSignal.any([signal, over.signal]))
      try {
        await (after === null ? reading.openNewest() : reading.openAt(decodeCursor(after)))
        for (let names: ReadonlySet<string> | null = null; !signal.aborted; ) {
          for await (const { cursor, source, line } of reading.read(names)) yield present(cursor, source, line)
          if (!follow) return
          names = await news.take()
        }
      } finally {
        over.abort()
        leave()
      }
    },
  }
}

function present(cursor: string, source: LogSource, { at, from, container, text }: SourceLine): RuntimeLogLine {
  const isOfRelease = source.name.startsWith('v')
  return {
    cursor,
    at: new Date(at),
    source: isOfRelease ? 'app' : (source.name as 'router' | 'deploy'),
    release: isOfRelease ? source.name : container === '-' ? null : container,
    instance: from,
    text,
  }
}

/** Which logs have grown since somebody asked: names, not lines, so that a slow reader holds nothing. */
function makeNews(signal: AbortSignal) {
  let names = new Set<string>()
  let wake: () => void = () => undefined
  signal.addEventListener('abort', () => wake(), { once: true })
  return {
    tell: (name: string): void => {
      names.add(name)
      wake()
    },
    /** Waits for the first one; none when the signal fires. */
    async take(): Promise<ReadonlySet<string>> {
      if (names.size === 0 && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve))
      const taken = names
      names = new Set()
      return taken
    },
  }
}

async function tellEvery(clock: Clock, news: { tell(name: string): void }, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(deploysEveryMs, signal).catch(() => undefined)
    news.tell('deploy')
  }
}
