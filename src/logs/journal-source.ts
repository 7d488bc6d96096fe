import { decodeLine, type StoredLine, stampLength } from './line.ts'
import type { LogSource, SourceLine } from './log-source.ts'
import { listParts, type Part, type Position, readSlice, readWholePart } from './parts.ts'

/** Read at a time. */
const sliceBytes = 64 * 1024

/** A journal read forward from a place. Holds a slice in memory, of a packed part all of it. */
export function openJournal(name: string, folder: string, from: Position): LogSource {
  let { part, offset } = from
  let lines: PlacedLine[] = []
  let packed: { readonly part: number; readonly content: Buffer } | null = null

  /** What comes next in this part; null when there is no such part. */
  async function slice(length: number): Promise<Buffer | null> {
    if (packed?.part !== part) {
      const found = await readSlice(folder, { part, offset }, length)
      if (found !== null) return found
      const content = await readWholePart(folder, part)
      packed = content === null ? null : { part, content }
    }
    return packed === null ? null : packed.content.subarray(offset, offset + length)
  }

  /** False when this part holds nothing more. */
  async function fillFromPart(): Promise<boolean> {
    for (let length = sliceBytes; ; ) {
      const found = await slice(length)
      if (found === null || found.length === 0) return false
      const end = found.lastIndexOf(0x0a) + 1
      if (end === 0) {
        // A line that is being written, or one that is longer than the slice.
        if (found.length < length) return false
        length *= 4
        continue
      }
      lines = parse(found.subarray(0, end), offset)
      offset += end
      if (lines.length > 0) return true
    }
  }

  return {
    name,
    head: () => lines[0]?.line,
    take: () => void lines.shift(),
    position: () => `${part}.${lines[0]?.start ?? offset}`,
    async fill() {
      for (;;) {
        if (await fillFromPart()) return
        const next = (await listParts(folder)).find(({ number }) => number > part)
        if (next === undefined) return
        // Once more: it was written to until the next one began.
        if (await fillFromPart()) return
        part = next.number
        offset = 0
        packed = null
      }
    },
  }
}

interface PlacedLine {
  readonly line: SourceLine
  /** In its part. */
  readonly start: number
}

function parse(content: Buffer, offset: number): PlacedLine[] {
  const lines: PlacedLine[] = []
  for (let start = 0; start < content.length; ) {
    const end = content.indexOf(0x0a, start) + 1
    const line = decodeLine(content.toString('utf8', start, end - 1))
    if (line !== null) lines.push({ line, start: offset + start })
    start = end
  }
  return lines
}

export interface Newest {
  /** Times and places, the oldest first. */
  readonly lines: { readonly at: string; readonly position: Position }[]
  /** Behind everything that was there. */
  readonly end: Position
}

interface Search {
  readonly limit: number
  readonly notBefore: string
  /** null: all. */
  readonly isWanted: ((line: StoredLine) => boolean) | null
}

/** The newest lines of a journal that are not older than `notBefore`. */
export async function findNewest(folder: string, { limit, notBefore, isWanted }: Search): Promise<Newest> {
  const lines: Newest['lines'] = []
  const parts = await listParts(folder)
  let end = endOf(parts)
  for (const part of [...parts].reverse()) {
    const content = (await readWholePart(folder, part.number)) ?? Buffer.alloc(0)
    const length = content.lastIndexOf(0x0a) + 1
    if (part.number === end.part) end = { part: part.number, offset: length }
    const before = lines.length
    for (let behind = length; behind > 0 && lines.length < limit; ) {
      const offset = behind < 2 ? 0 : content.lastIndexOf(0x0a, behind - 2) + 1
      const at = content.toString('latin1', offset, offset + stampLength)
      const fits = (): boolean => {
        const line = isWanted === null ? null : decodeLine(content.toString('utf8', offset, behind - 1))
        return isWanted === null || (line !== null && isWanted(line))
      }
      // Not the end of the search: what one instance printed while Slipway was away stands behind what others did later.
      if (at >= notBefore && fits()) lines.push({ at, position: { part: part.number, offset } })
      behind = offset
    }
    if (lines.length >= limit || (lines.length === before && isWanted === null)) break
  }
  return { lines: lines.reverse(), end }
}

/** Behind everything that is there: a packed part is not written to any more. */
export function endOf(parts: readonly Part[]): Position {
  const newest = parts.at(-1)
  if (newest === undefined) return { part: 1, offset: 0 }
  return newest.packed ? { part: newest.number + 1, offset: 0 } : { part: newest.number, offset: newest.bytes }
}
