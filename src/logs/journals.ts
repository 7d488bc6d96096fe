import { EventEmitter } from 'node:events'
import { readdir, rm, rmdir, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger } from '../kernel/logger.ts'
import { type Journal, makeJournal } from './journal.ts'
import { codeOf, listParts, packPart, partPath } from './parts.ts'
import { isJournal, type Place } from './place.ts'
import { type KeptPart, type LogLimits, partsToRemove } from './retention.ts'

/** All journals of an installation: `<folder>/<app>/<environment>/<journal>/`. */
export interface Journals {
  /** The one writer of a journal; the same each time. */
  open(place: Place): Writer
  /** The environment's journals that are there. */
  list(environment: Omit<Place, 'journal'>): Promise<string[]>
  folderOf(place: Place): string
  /** Calls back when one of the environment's journals was written to, until the returned function is called. */
  onWritten(environment: Omit<Place, 'journal'>, listener: (journal: string) => void): () => void
  /** Removes all journals of an environment. Safe to repeat. */
  remove(environment: Omit<Place, 'journal'>): Promise<void>
  /** Removes what is too old or too much, packs what nobody writes to any more. */
  sweep(): Promise<void>
  /** Writes what waits, and ends. */
  close(): Promise<void>
}

export interface Writer {
  append(line: string): void
  /** Resolves when more may be written: at once, unless the disk does not keep up. */
  room(): Promise<void>
  flush(): Promise<void>
  readonly folder: string
}

export interface JournalsOptions {
  readonly folder: string
  readonly limits: LogLimits
  readonly logger: Logger
  readonly now: () => Date
  /** A part that is longer is ended. */
  readonly partBytes?: number
  /** With less than this left on the disk nothing more is kept: it belongs to the database. */
  readonly floorBytes?: number
}

/** 4 MiB: packed in a tenth of a second, and small enough to be read whole. */
/** A reader holds a packed part in memory, unpacked, for as long as its client takes to read it. */
const partBytesByDefault = 1024 * 1024
const floorBytesByDefault = 128 * 1024 * 1024
/** Lines of a second go to the disk together, and at once when somebody follows them. */
const flushMs = { unfollowed: 1_000, followed: 100 }
const mostPendingBytes = 512 * 1024
const roomCheckedEveryMs = 5_000
const lostToldEveryMs = 5_000
const dayMs = 24 * 60 * 60_000
const packAfterMs = 60 * 60_000

export function makeJournals(options: JournalsOptions): Journals {
  const { logger } = options
  const journals = new Map<string, Journal>()
  const timers = new Map<Journal, NodeJS.Timeout>()
  const written = new EventEmitter().setMaxListeners(0)
  const hasRoom = makeRoomCheck(options.folder, options.floorBytes ?? floorBytesByDefault)
  const environmentKey = ({ app, environment }: Omit<Place, 'journal'>): string => `${app}/${environment}`
  const folderOf = ({ journal, ...place }: Place): string => join(options.folder, place.app, place.environment, journal)

  const openJournal = (place: Place): Journal => {
    const folder = folderOf(place)
    const found = journals.get(folder)
    if (found !== undefined) return found
    const journal = makeJournal({
      folder,
      partBytes: options.partBytes ?? partBytesByDefault,
      hasRoom,
      now: options.now,
      onWritten: () => void written.emit(environmentKey(place), place.journal),
      onLost: (error) => logger.error('lines of a log are lost', { folder, error }),
      onPackFailed: (error) => logger.warn('a part of a log could not be packed', { folder, error }),
    })
    journals.set(folder, journal)
    return journal
  }

  const flush = async (journal: Journal): Promise<void> => {
    clearTimeout(timers.get(journal))
    timers.delete(journal)
    await journal.flush()
    if (journal.hasLost()) flushLater(journal, lostToldEveryMs)
  }
  const flushLater = (journal: Journal, ms: number): void => {
    if (!timers.has(journal))
      timers.set(
        journal,
        setTimeout(() => void flush(journal), ms),
      )
  }

  return {
    folderOf,
    open(place) {
      const key = environmentKey(place)
      const journal = openJournal(place)
      return {
        folder: journal.folder,
        append(line) {
          // One that was swept away is made again.
          if (!journals.has(journal.folder)) journals.set(journal.folder, journal)
          journal.append(line)
          flushLater(journal, written.listenerCount(key) > 0 ? flushMs.followed : flushMs.unfollowed)
        },
        room: async () => (journal.pendingBytes() > mostPendingBytes ? flush(journal) : undefined),
        flush: () => flush(journal),
      }
    },
    async list({ app, environment }) {
      return (await namesIn(join(options.folder, app, environment))).filter(isJournal)
    },
    onWritten(environment, listener) {
      written.on(environmentKey(environment), listener)
      return () => void written.off(environmentKey(environment), listener)
    },
    async remove({ app, environment }) {
      const folder = join(options.folder, app, environment)
      for (const [path, journal] of journals) {
        if (dirname(path) !== folder) continue
        journals.delete(path)
        clearTimeout(timers.get(journal))
        timers.delete(journal)
        await journal.close()
      }
      await rm(folder, { recursive: true, force: true })
      await rmdir(dirname(folder)).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'ENOENT') throw error
      })
    },
    async sweep() {
      for (const app of await namesIn(options.folder)) {
        for (const environment of await namesIn(join(options.folder, app))) {
          await sweepEnvironment(join(options.folder, app, environment), { ...options, journals }).catch(
            (error: unknown) => logger.warn('the logs of an environment could not be looked through', { error }),
          )
        }
      }
    },
    async close() {
      for (const timer of timers.values()) clearTimeout(timer)
      timers.clear()
      await Promise.all([...journals.values()].map((journal) => journal.close()))
    },
  }
}

type Sweep = Pick<JournalsOptions, 'limits' | 'now' | 'logger'> & { readonly journals: Map<string, Journal> }

async function sweepEnvironment(folder: string, { limits, now, journals }: Sweep): Promise<void> {
  const nowMs = now().getTime()
  const parts: KeptPart[] = []
  for (const name of (await namesIn(folder)).filter(isJournal)) {
    const path = join(folder, name)
    const journal = journals.get(path)
    for (const part of await listParts(path)) {
      const open = journal?.openPart() === part.number
      const idleMs = nowMs - part.modifiedMs
      // One that nobody writes to is let go of: an installation has more releases than files may be open.
      if (open && idleMs > packAfterMs) await journal.close()
      else if (!open && !part.packed && idleMs > packAfterMs) await packPart(path, part.number)
      else if (open && (await isOlderThanADay(path, part.number, nowMs))) await journal.endPart()
      parts.push({ ...part, journal: name, open })
    }
  }
  for (const part of partsToRemove(parts, limits, nowMs)) {
    for (const packed of [false, true])
      await rm(partPath(join(folder, part.journal), part.number, packed), { force: true })
    await removeEmpty(join(folder, part.journal), journals)
  }
}

/** So that age, which is counted for a part as a whole, counts in days. */
async function isOlderThanADay(folder: string, number: number, nowMs: number): Promise<boolean> {
  const { birthtimeMs } = await stat(partPath(folder, number))
  return nowMs - birthtimeMs > dayMs
}

async function removeEmpty(folder: string, journals: Map<string, Journal>): Promise<void> {
  try {
    await rmdir(folder)
    const journal = journals.get(folder)
    if (journal?.pendingBytes() === 0) journals.delete(folder)
  } catch (error) {
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'ENOENT') throw error
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** Looks at most every few seconds. What cannot be looked at has room: the write itself will tell. */
function makeRoomCheck(folder: string, floorBytes: number): () => Promise<boolean> {
  let looked = { atMs: Number.NEGATIVE_INFINITY, room: true }
  return async () => {
    if (performance.now() - looked.atMs < roomCheckedEveryMs) return looked.room
    const room = await statfs(folder).then(
      ({ bavail, bsize }) => bavail * bsize >= floorBytes,
      () => true,
    )
    looked = { atMs: performance.now(), room }
    return room
  }
}
