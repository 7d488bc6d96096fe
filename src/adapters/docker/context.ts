import { Transform, type TransformCallback } from 'node:stream'
import { pack } from 'tar-stream'
import type { IgnoreRules } from '../../builds/index.ts'
import { SlipwayError } from '../../kernel/errors.ts'

/*
 * The build context on its way from Git to the engine. Entries pass or stay out as they are, byte for byte: a library that
 * reads and writes them again loses file names that are not UTF-8.
 */

const block = 512

/** Of `tar-stream`: what is later, in 2038 and after, it writes as a negative number that no other reader takes. */
const latestMtime = 2 ** 31 - 1

/** Files, hard and symbolic links, folders; never devices or pipes. */
const fileTypes = new Set(['0', '\0', '1', '2', '5'])

export interface ExtraFile {
  readonly name: string
  readonly text: string
}

/**
 * A tar stream without what the rules ignore, and with `extra` files at its end in the place of any of the same name.
 * Only files, folders and links pass.
 */
export function filterContext(
  rules: IgnoreRules,
  finish: (dockerignore: string | null) => Promise<readonly ExtraFile[]>,
): Transform {
  return new ContextFilter(rules, finish)
}

class ContextFilter extends Transform {
  readonly #rules: IgnoreRules
  readonly #finish: (dockerignore: string | null) => Promise<readonly ExtraFile[]>
  /** Not yet a whole header. */
  #rest: Buffer = Buffer.alloc(0)
  /** Bytes of the current entry that are still to come, with their padding. */
  #left = 0
  #fate: 'pass' | 'drop' | 'keep' = 'drop'
  /** Blocks that belong to the next entry: its long names. */
  #prelude: Buffer[] = []
  #kept: Buffer[] = []
  #onKept: ((content: Buffer) => void) | null = null
  #longPath: string | null = null
  #longSize: number | null = null
  #dockerignore: string | null = null
  #entries = 0
  /** Of the commit: `git archive` gives all files the same. */
  #mtime = 0
  #ended = false

  constructor(rules: IgnoreRules, finish: (dockerignore: string | null) => Promise<readonly ExtraFile[]>) {
    super()
    this.#rules = rules
    this.#finish = finish
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      const before = this.#entries
      this.#read(chunk)
      // Many small entries in one chunk, each matched with each rule: let others have a turn.
      if (this.#entries - before > 16) setImmediate(done)
      else done()
    } catch (error) {
      done(error as Error)
    }
  }

  override _flush(done: TransformCallback): void {
    if (this.#left > 0 || (this.#rest.length > 0 && !this.#ended)) {
      done(new SlipwayError('internal', 'The files of the commit ended in the middle of one.'))
      return
    }
    this.#finish(this.#dockerignore).then((files) => this.#append(files, done), done)
  }

  #append(files: readonly ExtraFile[], done: TransformCallback): void {
    const archive = pack()
    const mtime = new Date(Math.min(this.#mtime, latestMtime) * 1000)
    for (const { name, text } of files) archive.entry({ name, mode: 0o644, mtime }, text)
    archive.finalize()
    archive.on('data', (data) => this.push(data))
    archive.on('end', () => done())
    archive.on('error', done)
  }

  #read(chunk: Buffer): void {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (data.length > 0) {
      if (this.#left > 0) {
        const body = data.subarray(0, this.#left)
        data = data.subarray(body.length)
        this.#left -= body.length
        this.#readBody(body)
      } else {
        if (data.length < block) break
        this.#readHeader(data.subarray(0, block))
        data = data.subarray(block)
      }
    }
    // A copy, so that the whole chunk is not held for its end.
    this.#rest = Buffer.from(data)
  }

  #readBody(body: Buffer): void {
    if (this.#fate === 'pass') this.push(body)
    if (this.#fate === 'keep') this.#kept.push(body)
    if (this.#left === 0) this.#endBody()
  }

  #endBody(): void {
    const onKept = this.#onKept
    this.#onKept = null
    if (onKept === null) return
    const content = Buffer.concat(this.#kept)
    this.#kept = []
    onKept(content)
  }

  #readHeader(header: Buffer): void {
    // Two blocks of zeros end the archive; this filter writes its own.
    if (this.#ended || header.every((byte) => byte === 0)) {
      this.#ended = true
      return
    }
    this.#entries += 1
    const type = String.fromCharCode(header[156] ?? 0)
    const size = type === '1' || type === '2' || type === '5' ? 0 : readNumber(header, 124, 12)
    if (type === 'g') return this.#take('drop', size)
    if (type === 'x') return this.#takePax(header, size)
    if (type === 'L' || type === 'K') return this.#takeLongName(header, type, size)
    this.#takeEntry(header, type, this.#longSize !== null && size > 0 ? this.#longSize : size)
  }

  #takeEntry(header: Buffer, type: string, size: number): void {
    this.#mtime = readNumber(header, 136, 12)
    const path = (this.#longPath ?? pathOf(header)).replace(/^(?:\.\/)+/, '').replace(/\/+$/, '')
    const prelude = this.#prelude
    this.#prelude = []
    this.#longPath = null
    this.#longSize = null
    if (path === '' || path === '.' || path.startsWith('/') || path.split('/').includes('..')) {
      return this.#take('drop', size)
    }
    if (path === '.dockerignore' && !this.#rules.ignores(path)) {
      if (type !== '0' && type !== '\0') return this.#take('drop', size)
      return this.#take('keep', size, (content) => {
        this.#dockerignore = content.subarray(0, size).toString('utf8')
      })
    }
    if (!fileTypes.has(type) || this.#rules.ignores(path)) return this.#take('drop', size)
    for (const earlier of prelude) this.push(earlier)
    this.push(header)
    this.#take('pass', size)
  }

  /** Extended header: `27 path=…\n` and others; it passes in front of its entry. */
  #takePax(header: Buffer, size: number): void {
    this.#prelude.push(Buffer.from(header))
    this.#takeBounded(size, (content) => {
      this.#prelude.push(content)
      const records = readPax(content.subarray(0, size))
      this.#longPath = records.get('path') ?? this.#longPath
      const longSize = records.get('size')
      if (longSize !== undefined) this.#longSize = Number(longSize)
    })
  }

  /** GNU's long name (L) or link (K). */
  #takeLongName(header: Buffer, type: string, size: number): void {
    this.#prelude.push(Buffer.from(header))
    this.#takeBounded(size, (content) => {
      this.#prelude.push(content)
      if (type === 'L') this.#longPath = content.subarray(0, size).toString('utf8').replace(/\0.*$/s, '')
    })
  }

  #takeBounded(size: number, onKept: (content: Buffer) => void): void {
    if (size > 1024 * 1024) throw new SlipwayError('internal', 'A name in the files of the commit is too long.')
    this.#take('keep', size, onKept)
  }

  #take(fate: 'pass' | 'drop' | 'keep', size: number, onKept: ((content: Buffer) => void) | null = null): void {
    this.#fate = fate
    this.#onKept = onKept
    this.#left = Math.ceil(size / block) * block
    if (this.#left === 0) this.#endBody()
  }
}

/** Name, and the prefix of ustar; bytes that are not UTF-8 read as U+FFFD, for the rules only. */
function pathOf(header: Buffer): string {
  const name = readText(header, 0, 100)
  const ustar = header.toString('latin1', 257, 262) === 'ustar' && header[263] !== 0x20
  const prefix = ustar ? readText(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function readText(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length)
  const end = field.indexOf(0)
  return field.subarray(0, end === -1 ? length : end).toString('utf8')
}

/** Octal, or base 256 when the first bit is set. */
function readNumber(header: Buffer, start: number, length: number): number {
  const field = header.subarray(start, start + length)
  if (((field[0] ?? 0) & 0x80) !== 0) return Number(field.readBigUInt64BE(length - 8))
  return Number.parseInt(
    field
      .toString('latin1')
      .replace(/[\0 ]+$/, '')
      .trim() || '0',
    8,
  )
}

function readPax(content: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at)
    const length = Number(content.toString('latin1', at, space))
    if (space === -1 || !Number.isInteger(length) || length <= 0) break
    const record = content.subarray(space + 1, at + length - 1).toString('utf8')
    const equals = record.indexOf('=')
    records.set(record.slice(0, equals), record.slice(equals + 1))
    at += length
  }
  return records
}
