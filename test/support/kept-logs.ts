import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CollectorOptions, makeLogCollector } from '../../src/logs/collector.ts'
import { openJournal } from '../../src/logs/journal-source.ts'
import { type Journals, type JournalsOptions, makeJournals } from '../../src/logs/journals.ts'
import type { Place } from '../../src/logs/place.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'

const mb = 1024 * 1024
export const wideLimits = { releaseBytes: 100 * mb, environmentBytes: 100 * mb, ageMs: 1e10 }

export async function makeLogFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'slw-logs-'))
}

export function makeTestJournals(folder: string, options: Partial<JournalsOptions> = {}): Journals {
  return makeJournals({
    folder,
    limits: wideLimits,
    logger: silentLogger,
    now: () => new Date(),
    floorBytes: 0,
    ...options,
  })
}

/** A collector that can be stopped and begun again, as by a restart of Slipway. */
export function makeTestCollector(
  runtime: CollectorOptions['runtime'],
  folder: string,
  options: Partial<JournalsOptions> = {},
) {
  let life: { stop: AbortController; journals: Journals; collector: ReturnType<typeof makeLogCollector> } | null = null
  const start = (): void => {
    const journals = makeTestJournals(folder, options)
    const collector = makeLogCollector({ runtime, journals, clock: systemClock, logger: silentLogger })
    life = { stop: new AbortController(), journals, collector }
    collector.start(life.stop.signal)
  }
  return {
    start,
    settled: (containerId: string) => (life === null ? Promise.resolve() : life.collector.settled(containerId)),
    async stop(): Promise<void> {
      life?.stop.abort()
      await life?.journals.close()
      life = null
    },
    flush: async (): Promise<void> => void (await life?.journals.close()),
    async remove(): Promise<void> {
      life?.stop.abort()
      await life?.journals.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Everything that is kept in a journal: `<from> <text>`. */
export async function readJournal(folder: string, { app, environment, journal }: Place): Promise<string[]> {
  const source = openJournal(journal, join(folder, app, environment, journal), { part: 1, offset: 0 })
  const lines: string[] = []
  for (await source.fill(); ; await source.fill()) {
    if (source.head() === undefined) return lines
    for (let head = source.head(); head !== undefined; head = source.head()) {
      lines.push(`${head.from} ${head.text}`)
      source.take()
    }
  }
}
