import { decodeLine, earlier } from './line.ts'
import { listParts, readSlice, readWholePart } from './parts.ts'

/*
 * After a restart of Slipway or of the engine a container's output is asked for from a moment before the last line that was
 * kept. The journal holds what came in the engine's order: what the engine tells up to that last line is there already, and
 * everything behind it is new, whatever the clock did in between.
 */

/** So much before the last line is asked for again: the two outputs of a container are not in the order of their times. */
const overlapMs = 1_000
/** Where that is looked for first. */
const tailBytes = 64 * 1024

export interface Resume {
  /** From where to ask the engine; null: for everything. */
  readonly since: string | null
  /** Whether a line is one of the newest that are kept: then nothing between it and them is missing. */
  isKnown(line: string): boolean
  /** Those of the lines (as they are stored) that are not kept yet. */
  withoutDoubles(lines: readonly string[]): Promise<readonly string[]>
}

/** What is kept of one container. `container` is what its lines carry. */
export async function findResume(folder: string, container: string): Promise<Resume> {
  const parts = await listParts(folder)
  const newest = parts.at(-1)
  if (newest === undefined) return fromTheStart
  const tail = newest.packed
    ? await readLinesOf(folder, [newest.number], container)
    : linesIn(await readTail(folder, newest), container)
  const readAll = (): Promise<string[]> =>
    readLinesOf(
      folder,
      parts.map(({ number }) => number),
      container,
    )
  return makeResume(tail.length > 0 ? tail : await readAll(), readAll)
}

const fromTheStart: Resume = {
  since: null,
  isKnown: () => false,
  withoutDoubles: (lines) => Promise.resolve(lines),
}

/** Pure but for `readAll`, which is only asked when the newest lines do not explain what the engine tells. */
export function makeResume(tail: readonly string[], readAll: () => Promise<readonly string[]>): Resume {
  const last = tail.at(-1)
  if (last === undefined) return fromTheStart
  let known: Set<string> | null = new Set(tail)
  let isAll = false
  return {
    since: earlier(decodeLine(last)?.at ?? '', overlapMs),
    isKnown: (line) => known?.has(line) === true,
    async withoutDoubles(lines) {
      const fresh: string[] = []
      for (const line of lines) {
        if (known !== null && !known.has(line) && !isAll) {
          known = new Set(await readAll())
          isAll = true
        }
        if (known?.has(line) !== true) fresh.push(line)
        // Behind it nothing is kept. The memory is given back.
        if (line === last) known = null
      }
      return fresh
    },
  }
}

async function readTail(folder: string, part: { number: number; bytes: number }): Promise<Buffer> {
  const offset = Math.max(0, part.bytes - tailBytes)
  const slice = await readSlice(folder, { part: part.number, offset }, part.bytes - offset)
  if (slice === null) return Buffer.alloc(0)
  return offset === 0 ? slice : slice.subarray(slice.indexOf(0x0a) + 1)
}

async function readLinesOf(folder: string, parts: readonly number[], container: string): Promise<string[]> {
  const lines: string[] = []
  for (const part of parts) {
    const content = await readWholePart(folder, part)
    if (content !== null) for (const line of linesIn(content, container)) lines.push(line)
  }
  return lines
}

/** Whole lines only: one that a crash cut off is not kept. */
function linesIn(content: Buffer, container: string): string[] {
  const mark = ` ${container} `
  return content
    .toString('utf8', 0, content.lastIndexOf(0x0a) + 1)
    .split('\n')
    .filter((line) => line.startsWith(mark, line.indexOf(' ', 31)))
}
