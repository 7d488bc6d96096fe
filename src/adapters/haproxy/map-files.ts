import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { SlipwayError } from '../../kernel/errors.ts'
import { writeWholeFile } from '../../kernel/whole-file.ts'
import { type MapName, mapNames, proxyPaths } from './paths.ts'
import { type AllEntries, directEntries, type Entries } from './entries.ts'

/**
 * The maps on disk: what the proxy starts with. A change is written whole before it is told to the running proxy; changes that
 * arrive while a file is being written share the next write.
 */
export interface MapFiles {
  /** Reads all files. Those that are missing, torn or changed by somebody else count as empty; returns their names. */
  load(): Promise<MapName[]>
  /** What the files hold. */
  entries(): AllEntries
  /** Resolves when the change is on disk. When the write fails nothing has changed. */
  change(map: MapName, edit: (entries: Map<string, string>) => void): Promise<void>
  /**
   * Writes what does not stand on disk as it should: the proxy is about to read it. Returns the names of files that were
   * there, but wrong.
   */
  mend(): Promise<MapName[]>
}

interface Change {
  /** Write although nothing changes: the file is not what it should be. */
  readonly always?: boolean
  readonly edit: (entries: Map<string, string>) => void
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

export function makeMapFiles(dataDir: string): MapFiles {
  const paths = proxyPaths(dataDir)
  const held = eachMap((): Entries => new Map())
  const waiting = eachMap((): Change[] => [])
  const writing = new Set<MapName>()

  const readEntries = async (map: MapName): Promise<Entries | null> => {
    const text = await readFile(paths.map(map), 'utf8').catch(() => null)
    return text === null ? null : parseMap(text)
  }

  const writeAllWaiting = async (map: MapName): Promise<void> => {
    if (writing.has(map)) return
    writing.add(map)
    try {
      while (waiting[map].length > 0) {
        const changes = waiting[map].splice(0)
        const next = new Map(held[map])
        for (const { edit } of changes) edit(next)
        try {
          if (changes.some(({ always }) => always) || !isSame(held[map], next)) {
            await writeWholeFile(paths.map(map), renderMap(next), 0o600)
            held[map] = next
          }
          for (const { done } of changes) done()
        } catch (cause) {
          const error = new SlipwayError('unavailable', `The proxy’s map ${map} could not be written.`, {
            hint: 'Look for a full or read-only disk below the data folder.',
            cause,
          })
          for (const { failed } of changes) failed(error)
        }
      }
    } finally {
      writing.delete(map)
    }
  }

  return {
    async load() {
      await mkdir(paths.maps, { recursive: true, mode: 0o700 })
      const damaged: MapName[] = []
      for (const map of mapNames) {
        if (map === 'direct') continue
        const entries = await readEntries(map)
        if (entries === null) damaged.push(map)
        held[map] = entries ?? new Map()
      }
      // Derived, so never believed: it must not lead past what the others have lost.
      held.direct = directEntries(held)
      return damaged
    },
    entries: () => ({ ...held }),
    change: (map, edit) =>
      new Promise((done, failed) => {
        waiting[map].push({ edit, done, failed })
        void writeAllWaiting(map)
      }),
    async mend() {
      await mkdir(paths.maps, { recursive: true, mode: 0o700 })
      const mended: MapName[] = []
      for (const map of mapNames) {
        const onDisk = await readFile(paths.map(map), 'utf8').catch(() => null)
        if (onDisk === renderMap(held[map])) continue
        await new Promise<void>((done, failed) => {
          waiting[map].push({ always: true, edit: () => undefined, done, failed })
          void writeAllWaiting(map)
        })
        if (onDisk !== null) mended.push(map)
      }
      return mended
    },
  }
}

function eachMap<T>(make: () => T): Record<MapName, T> {
  return Object.fromEntries(mapNames.map((map) => [map, make()])) as Record<MapName, T>
}

/** HAProxy takes the first line for a comment. */
export function renderMap(entries: Entries): string {
  let lines = ''
  for (const [key, value] of entries) lines += `${key} ${value}\n`
  return `# slipway ${digest(lines)}\n${lines}`
}

/** null when the text is not whole, or not what was written. */
export function parseMap(text: string): Entries | null {
  const end = text.indexOf('\n')
  const lines = text.slice(end + 1)
  if (end < 0 || text.slice(0, end) !== `# slipway ${digest(lines)}`) return null
  const entries = new Map<string, string>()
  for (const line of lines.split('\n')) {
    if (line === '') continue
    const [key = '', value = ''] = line.split(' ')
    entries.set(key, value)
  }
  return entries
}

function isSame(a: Entries, b: Entries): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
