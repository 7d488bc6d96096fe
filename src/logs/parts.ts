import { open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'

/*
 * A journal is a folder of parts: 00001.log, 00002.log, … The last one is written to, full ones become 00001.log.gz. A
 * place in a journal is the number of a part and a byte in it, packed or not.
 */

export interface Part {
  readonly number: number
  readonly packed: boolean
  /** On the disk. */
  readonly bytes: number
  readonly modifiedMs: number
}

export interface Position {
  readonly part: number
  readonly offset: number
}

export function partPath(folder: string, number: number, packed = false): string {
  return join(folder, `${String(number).padStart(5, '0')}.log${packed ? '.gz' : ''}`)
}

/** In their order; none when there is no such journal. One that is there both ways was packed whole. */
export async function listParts(folder: string): Promise<Part[]> {
  const parts = new Map<number, Part>()
  for (const name of await readdir(folder).catch(noNames)) {
    const [, digits, gz] = /^(\d{5,9})\.log(\.gz)?$/.exec(name) ?? []
    if (digits === undefined) continue
    const found = await stat(join(folder, name)).catch(() => null)
    const number = Number(digits)
    const packed = gz !== undefined
    if (found === null || (parts.get(number)?.packed === true && !packed)) continue
    parts.set(number, { number, packed, bytes: found.size, modifiedMs: found.mtimeMs })
  }
  return [...parts.values()].sort((a, b) => a.number - b.number)
}

function noNames(error: unknown): string[] {
  if (codeOf(error) === 'ENOENT') return []
  throw error
}

/** What a part holds; null when it is gone. */
export async function readWholePart(folder: string, number: number): Promise<Buffer | null> {
  // Packing takes the packed one's place before the other goes: looked for in this order, one of them is there.
  for (const packed of [false, true]) {
    const content = await readFile(partPath(folder, number, packed)).catch(orGone)
    if (content !== null) return packed ? unpack(content) : content
  }
  return null
}

/** Up to `length` bytes from `offset`; null when there is no such part that is not packed. */
export async function readSlice(folder: string, { part, offset }: Position, length: number): Promise<Buffer | null> {
  const file = await open(partPath(folder, part), 'r').catch(orGone)
  if (file === null) return null
  try {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Packs a part that nobody writes to any more. Its time stays: age is counted by it. Safe to repeat. */
export async function packPart(folder: string, number: number): Promise<void> {
  const path = partPath(folder, number)
  const content = await readFile(path).catch(orGone)
  const found = await stat(path).catch(orGone)
  if (content === null || found === null) return
  const draft = `${path}.tmp`
  try {
    await writeFile(draft, await pack(content, { level: 4 }), { mode: 0o600 })
    await utimes(draft, found.atime, found.mtime)
    await rename(draft, partPath(folder, number, true))
    await rm(path, { force: true })
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

const pack = promisify<Buffer, { level: number }, Buffer>(gzip)
/** A part is a few MiB; a file that somebody else put there does not fill the memory. */
const unpack = (content: Buffer): Promise<Buffer> => promisify<Buffer, object, Buffer>(gunzip)(content, bounded)
const bounded = { maxOutputLength: 64 * 1024 * 1024 }

function orGone(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null
  throw error
}

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}
