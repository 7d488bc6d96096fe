import { SlipwayError } from '../kernel/errors.ts'

/*
 * Git's wire format: four hexadecimal digits of length (their own four included), then that many bytes; `0000` is a flush
 * (gitprotocol-common(5)).
 */

export type Pkt = { readonly kind: 'data'; readonly data: Buffer } | { readonly kind: 'flush' }

const longestPkt = 65_520

export const flushPkt: Buffer = Buffer.from('0000')

export function encodePkt(data: Buffer | string): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data
  if (bytes.length + 4 > longestPkt) throw new SlipwayError('internal', 'A Git packet would be too long.')
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes])
}

/** Cuts a stream into packets. Holds at most one unfinished packet (64 KiB). */
export class PktReader {
  #rest: Buffer = Buffer.alloc(0)

  /** Bytes that came after the last packet that was read. */
  rest(): Buffer {
    return this.#rest
  }

  /** The packets that are whole now; throws `bad_request` on what is no packet. */
  *read(chunk: Buffer): Generator<Pkt> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (let pkt = this.#next(); pkt !== null; pkt = this.#next()) yield pkt
  }

  #next(): Pkt | null {
    if (this.#rest.length < 4) return null
    const length = lengthOf(this.#rest)
    if (length === 0) {
      this.#rest = this.#rest.subarray(4)
      return { kind: 'flush' }
    }
    if (this.#rest.length < length) return null
    const data = this.#rest.subarray(4, length)
    this.#rest = this.#rest.subarray(length)
    return { kind: 'data', data }
  }
}

function lengthOf(bytes: Buffer): number {
  const digits = bytes.toString('latin1', 0, 4)
  const length = /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : -1
  // 1 to 3 are markers of protocol version 2, which a push never speaks.
  if (length !== 0 && (length < 4 || length > longestPkt)) {
    throw new SlipwayError('bad_request', 'This is not what a Git client sends.')
  }
  return length
}

/** The text of a packet without its line end; bytes as latin1, since names need not be UTF-8. */
export function textOf(data: Buffer): string {
  const text = data.toString('latin1')
  return text.endsWith('\n') ? text.slice(0, -1) : text
}
