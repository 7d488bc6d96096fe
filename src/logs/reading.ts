import type { Queryable } from '../postgres/database.ts'
import { type Cursor, encodeCursor } from './cursor.ts'
import { openDeployLog, parseDeployPosition } from './deploy-source.ts'
import { endOf, findNewest, openJournal } from './journal-source.ts'
import type { Journals } from './journals.ts'
import { earlier, stampOf } from './line.ts'
import { type LogSource, mergeSources, type SourceLine } from './log-source.ts'
import { listParts, type Part, type Position } from './parts.ts'
import * as store from './store.ts'

/** What a reader wants of an environment's logs. */
export interface Wanted {
  readonly environmentId: number
  readonly tail: number
  readonly since: Date | null
  readonly release: number | null
  /** Only of this process, or of one instance of it: `worker`, `worker.2`; `cron.<label>`, `release.<label>`. */
  readonly process: string | null
  readonly sources: readonly ('app' | 'router' | 'deploy')[]
}

/** A line that may be shown first, and what opens its log there. */
interface Found {
  readonly at: string
  readonly open: () => void
}

interface ReadLine {
  readonly cursor: string
  readonly source: LogSource
  readonly line: SourceLine
}

/** A reader that comes back also gets what was written late, by so much, to a log that it had not seen. */
const lateMs = 2_000
/** Logs that said nothing for so long before a line are not named in its cursor. */
const quietMs = 10_000

/** The logs of an environment, opened at certain places and read as one. Holds a slice of each in memory. */
export class Reading {
  readonly #journals: Journals
  readonly #db: Queryable
  readonly #environment: store.LogEnvironment
  readonly #wanted: Wanted
  readonly #sources = new Map<string, LogSource>()
  /** Where those that are not open ended when the reading began. */
  readonly #ends = new Map<string, Position>()
  readonly #saidAt = new Map<string, string>()

  constructor(parts: { journals: Journals; db: Queryable }, environment: store.LogEnvironment, wanted: Wanted) {
    this.#journals = parts.journals
    this.#db = parts.db
    this.#environment = environment
    this.#wanted = wanted
  }

  /** At the newest lines. */
  async openNewest(): Promise<void> {
    const { tail: limit, since, sources } = this.#wanted
    const { createdAt } = this.#environment
    const notBefore = since !== null && since > createdAt ? since : createdAt
    let found: Found[] = []
    let deployEnd: store.DeployPosition | null = null
    for (const { name, parts } of await this.#listByAge()) {
      const oldest = found.length >= limit ? (found[0]?.at ?? '') : ''
      // The others ended before: an environment may have hundreds of releases.
      if (oldest !== '' && (parts.at(-1)?.modifiedMs ?? 0) + lateMs < Date.parse(oldest)) {
        this.#ends.set(name, endOf(parts))
        continue
      }
      const search = { limit, notBefore: stampOf(notBefore), isWanted: this.#filterOf(name) }
      const { lines, end } = await findNewest(this.#folderOf(name), search)
      this.#ends.set(name, end)
      const more = lines.map(({ at, position }) => ({ at, open: () => this.#openJournal(name, position) }))
      found = newestOf([...found, ...more], limit)
    }
    if (sources.includes('deploy')) {
      const lines = await store.findNewestDeployLines(this.#db, this.#wanted, { limit: Math.max(1, limit), notBefore })
      const more = lines.map((line) => ({
        at: line.at,
        open: () => this.#openDeploys({ ...line, seq: line.seq - 1 }),
      }))
      found = newestOf([...found, ...more], limit)
      deployEnd = lines.at(-1) ?? { micros: notBefore.getTime() * 1000, deployId: 0, seq: 0 }
    }
    // The first line of a log opens it.
    for (const { open } of found) open()
    if (deployEnd !== null) this.#openDeploys(deployEnd)
  }

  /** Behind a line that was read before. */
  async openAt({ at, positions }: Cursor): Promise<void> {
    for (const name of await this.#listNames()) {
      const position = positions.get(name)
      if (position !== undefined) this.#openJournal(name, parsePosition(position))
      else await this.#openUnseen(name, at)
    }
    if (!this.#wanted.sources.includes('deploy')) return
    const micros = Math.floor(Date.parse(at) * 1000)
    this.#openDeploys(parseDeployPosition(positions.get('deploy') ?? `${micros}.0.0`))
  }

  /** What can be read now; of some of the logs only when they are named, new ones included. */
  async *read(names: ReadonlySet<string> | null = null): AsyncGenerator<ReadLine> {
    for (const name of names ?? []) {
      if (name !== 'deploy' && this.#isWanted(name))
        this.#openJournal(name, this.#ends.get(name) ?? { part: 1, offset: 0 })
    }
    const sources = [...this.#sources.values()].filter((source) => names?.has(source.name) ?? true)
    for await (const [source, line] of mergeSources(sources)) {
      this.#saidAt.set(source.name, line.at)
      const filter = this.#filterOf(source.name)
      if (filter === null || filter(line)) yield { cursor: this.#cursor(line.at), source, line }
    }
  }

  #cursor(at: string): string {
    const positions = new Map<string, string>()
    const quiet = earlier(at, quietMs)
    for (const [name, source] of this.#sources) {
      const isQuiet = source.head() === undefined && (this.#saidAt.get(name) ?? '') < quiet
      if (!isQuiet || name === 'deploy') positions.set(name, source.position())
    }
    return encodeCursor(at, positions)
  }

  async #openUnseen(name: string, at: string): Promise<void> {
    const folder = this.#folderOf(name)
    const parts = await listParts(folder)
    this.#ends.set(name, endOf(parts))
    const notBefore = earlier(at, lateMs)
    if ((parts.at(-1)?.modifiedMs ?? 0) < Date.parse(notBefore) - quietMs) return
    const search = { limit: Number.POSITIVE_INFINITY, notBefore, isWanted: this.#filterOf(name) }
    const { lines, end } = await findNewest(folder, search)
    this.#ends.set(name, end)
    if (lines[0] !== undefined) this.#openJournal(name, lines[0].position)
  }

  /** Each once: at the first place that is said. */
  #openJournal(name: string, at: Position): void {
    if (!this.#sources.has(name)) this.#sources.set(name, openJournal(name, this.#folderOf(name), at))
  }

  #openDeploys(at: store.DeployPosition): void {
    if (!this.#sources.has('deploy')) this.#sources.set('deploy', openDeployLog(this.#db, this.#wanted, at))
  }

  async #listNames(): Promise<string[]> {
    return (await this.#journals.list(this.#environment)).filter((name) => this.#isWanted(name))
  }

  /** Those that were written to last come first. */
  async #listByAge(): Promise<{ name: string; parts: Part[] }[]> {
    const names = await this.#listNames()
    const all = await Promise.all(names.map(async (name) => ({ name, parts: await listParts(this.#folderOf(name)) })))
    return all.sort((a, b) => (b.parts.at(-1)?.modifiedMs ?? 0) - (a.parts.at(-1)?.modifiedMs ?? 0))
  }

  #isWanted(name: string): boolean {
    const { sources, release } = this.#wanted
    if (name === 'router') return sources.includes('router')
    return sources.includes('app') && (release === null || name === `v${release}`)
  }

  /** Which lines of a log are wanted; null: all. The router's are of all releases, a release's of all its processes. */
  #filterOf(name: string): ((line: Pick<SourceLine, 'from' | 'container' | 'text'>) => boolean) | null {
    const { release, process } = this.#wanted
    if (name === 'router') return release === null ? null : ({ container }) => container === `v${release}`
    return process === null || name === 'deploy' ? null : isOfProcess(process)
  }

  #folderOf(journal: string): string {
    return this.#journals.folderOf({ ...this.#environment, journal })
  }
}

/** `worker` has all of its instances; what Slipway says of them (`worker.2 ended`) belongs to them. */
function isOfProcess(process: string): (line: Pick<SourceLine, 'from' | 'text'>) => boolean {
  const isIts = (name: string): boolean => name === process || name.startsWith(`${process}.`)
  return ({ from, text }) => isIts(from === 'slipway' ? (text.split(' ', 1)[0] ?? '') : from)
}

function parsePosition(text: string): Position {
  const [part = 1, offset = 0] = text.split('.').map(Number)
  return { part, offset }
}

/** In order of time. */
function newestOf(found: Found[], limit: number): Found[] {
  found.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  return limit === 0 ? [] : found.slice(-limit)
}
