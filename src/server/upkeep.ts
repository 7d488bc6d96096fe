import { type Engine, readDisk, readMemory, readUse, rememberHost } from '../adapters/docker/index.ts'
import { type Builder, type DiskPlace, type DiskRoom, type Images, makeDiskRoom, makeImages } from '../builds/index.ts'
import type { Settings } from '../config.ts'
import type { Environments } from '../environments/index.ts'
import type { Git } from '../git/index.ts'
import { systemClock } from '../kernel/clock.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import {
  forgetOldEvents,
  forgetOldRuns,
  makeNightly,
  makeRetention,
  type Nightly,
  parseTimeOfDay,
  removeOldLogs,
  type Retention,
} from '../nightly/index.ts'
import type { Database } from '../postgres/database.ts'
import { makeMemoryRoom, type MemoryRoom } from '../runtime/index.ts'

/*
 * What keeps the host from filling up, put together: floors for disk and memory, what is kept, and the nightly work.
 */

export interface Upkeep {
  readonly disk: DiskRoom
  readonly memory: MemoryRoom
  readonly images: Images
  readonly retention: Retention
}

interface Ground {
  readonly settings: Settings
  readonly db: Database
  readonly engine: Engine
  readonly logger: Logger
}

export function makeUpkeep({ settings, db, engine, logger }: Ground, builder: Builder): Upkeep {
  const images = makeImages({ db, builder, logger })
  const retention = makeRetention({ db, images, keepReleases: settings.keep.releases })
  const readHost = rememberHost(engine)
  const measureData = (): Promise<DiskPlace | null> => measure('Slipway’s data folder', settings.dataDir)
  const disk = makeDiskRoom({
    async measure() {
      const engineData = await measure('the engine’s data folder', (await readHost()).dataRoot)
      return [engineData, await measureData()].filter((place) => place !== null)
    },
    measureData,
    floorBytes: settings.diskFloorBytes,
    async makeRoom(signal) {
      logger.warn('the disk is nearly full: what is not needed is removed')
      await retention.run(signal).catch((error: unknown) => {
        signal.throwIfAborted()
        logger.error('no room could be made', { error })
      })
    },
  })
  const memory = makeMemoryRoom({
    measure: readMemory,
    readUse: async (containerId) => (await readUse(engine, containerId))?.memoryBytes ?? null,
    floorBytes: settings.memoryFloorBytes,
    clock: systemClock,
  })
  return { disk, memory, images, retention }
}

async function measure(name: string, folder: string): Promise<DiskPlace | null> {
  const room = await readDisk(folder)
  return room === null ? null : { ...room, name: `${name} ${folder}` }
}

export function makeNights(
  { settings, db, logger }: Ground,
  { retention, git, environments }: { retention: Retention; git: Git; environments: Environments },
): Nightly {
  const { days } = settings.keep
  const tidyRepositories = async (signal: AbortSignal): Promise<Record<string, number>> => {
    const sum = { tidied: 0, busy: 0, failed: 0, held: 0, dropped: 0 }
    for (const { name } of await environments.listApps()) {
      signal.throwIfAborted()
      try {
        const { packed, held, dropped } = await git.tidy(name, { keepDays: days, signal })
        sum[packed ? 'tidied' : 'busy'] += 1
        sum.held += held
        sum.dropped += dropped
      } catch (error) {
        signal.throwIfAborted()
        sum.failed += 1
        // Git's own words: the error alone says nothing of why.
        const says = error instanceof SlipwayError ? error.evidence.join('\n').trim() : ''
        logger.warn('a repository could not be tidied', { app: name, says, error })
      }
    }
    return sum
  }
  return makeNightly({
    db,
    // Images first: the commits of those that went can go as well.
    parts: [
      { name: 'images', run: async (signal) => ({ ...(await retention.run(signal)) }) },
      { name: 'repositories', run: tidyRepositories },
      { name: 'deploy logs', run: (signal) => removeOldLogs(db, days, signal) },
      { name: 'events', run: (signal) => forgetOldEvents(db, days, signal) },
      { name: 'cron runs', run: (signal) => forgetOldRuns(db, days, signal) },
    ],
    at: parseTimeOfDay(settings.nightlyAt),
    clock: systemClock,
    logger,
  })
}
