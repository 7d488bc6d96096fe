import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { encodeNote } from './line.ts'
import { listParts, packPart, partPath, readWholePart } from './parts.ts'

/** The one writer of a journal. Lines wait in memory until `flush`. */
export interface Journal {
  readonly folder: string
  /** Adds a line as `encodeLine` makes it. */
  append(line: string): void
  pendingBytes(): number
  /**
   * Writes what waits. Never rejects: what the disk does not take is dropped and counted, and told in the journal as soon as
   * there is room again.
   */
  flush(): Promise<void>
  /** True when lines were dropped, and that is not yet told. */
  hasLost(): boolean
  /** Writes what waits, and lets go of the file. It opens again by itself. */
  close(): Promise<void>
  /** The part that is written to now; null when none is open. */
  openPart(): number | null
  /** Ends the part that is written to now: the next line begins another. */
  endPart(): Promise<void>
}

export interface JournalOptions {
  readonly folder: string
  readonly partBytes: number
  /** False: the disk is so full that what is left belongs to others. */
  readonly hasRoom: () => Promise<boolean>
  readonly now: () => Date
  readonly onWritten: () => void
  /** Called once when lines begin to be lost, with why. */
  readonly onLost: (error: unknown) => void
  readonly onPackFailed: (error: unknown) => void
}

interface OpenPart {
  readonly number: number
  readonly file: FileHandle
  size: number
}

export function makeJournal(options: JournalOptions): Journal {
  const { folder, partBytes } = options
  let pending: string[] = []
  let pendingBytes = 0
  let part: OpenPart | null = null
  let lost: { count: number; readonly since: Date } | null = null
  // One thing at a time, in order.
  let last: Promise<void> = Promise.resolve()
  const inTurn = (work: () => Promise<void>): Promise<void> => (last = last.then(work))

  async function write(): Promise<void> {
    const lines = pending
    pending = []
    pendingBytes = 0
    if (lines.length === 0 && lost === null) return
    const note = lost === null ? [] : [encodeNote(options.now(), lostText(lost))]
    try {
      if (!(await options.hasRoom())) throw new Error('There is too little room on the disk for logs.')
      part ??= await openNewest(folder, partBytes)
      await appendTo(part, `${[...note, ...lines].join('\n')}\n`)
    } catch (error) {
      if (lost === null) options.onLost(error)
      lost ??= { count: 0, since: options.now() }
      lost.count += lines.length
      await letGo()
      return
    }
    lost = null
    if (part.size >= partBytes) await endPart()
    options.onWritten()
  }

  async function letGo(): Promise<void> {
    const open = part
    part = null
    // Opening it again finds where the last whole line ends.
    await open?.file.close().catch(() => undefined)
  }

  async function endPart(): Promise<void> {
    const ended = part
    await letGo()
    // In the background: whoever writes does not wait.
    if (ended !== null) void packPart(folder, ended.number).catch(options.onPackFailed)
  }

  return {
    folder,
    append(line) {
      pending.push(line)
      // Two bytes for a character that is not ASCII would be nearer; this is a limit, not an account.
      pendingBytes += line.length + 1
    },
    pendingBytes: () => pendingBytes,
    flush: () => inTurn(write),
    hasLost: () => lost !== null,
    close: () => inTurn(async () => (await write(), letGo())),
    openPart: () => part?.number ?? null,
    endPart: () => inTurn(endPart),
  }
}

/** All or nothing: what was written of a batch that did not fit is taken back. */
async function appendTo(part: OpenPart, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  try {
    // A file that is appended to: writes that come short go on where they ended.
    for (let at = 0; at < bytes.length; ) at += (await part.file.write(bytes, at)).bytesWritten
  } catch (error) {
    await part.file.truncate(part.size).catch(() => undefined)
    throw error
  }
  part.size += bytes.length
}

/** The newest part when it has room and is not packed, else a new one. A line that a crash cut off is taken away. */
async function openNewest(folder: string, partBytes: number): Promise<OpenPart> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const newest = (await listParts(folder)).at(-1)
  const goesOn = newest !== undefined && !newest.packed && newest.bytes < partBytes
  const number = goesOn ? newest.number : (newest?.number ?? 0) + 1
  const content = goesOn ? await readWholePart(folder, number) : null
  const size = content === null ? 0 : content.lastIndexOf(0x0a) + 1
  const file = await open(partPath(folder, number), 'a', 0o600)
  try {
    if (content !== null && content.length > size) await file.truncate(size)
    return { number, file, size }
  } catch (error) {
    await file.close()
    throw error
  }
}

function lostText({ count, since }: { count: number; since: Date }): string {
  const lines = count === 1 ? '1 line' : `${count} lines`
  return `${lines} since ${since.toISOString().slice(0, 19)}Z could not be kept: the disk had no room.`
}
