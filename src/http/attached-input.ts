import {
  type ClientMessage,
  chunkBytes,
  type ReceiveWindow,
  type SignalName,
  type TerminalSize,
} from '../kernel/attachment.ts'
import type { ClientListener } from '../runtime/index.ts'

/** What a client says, on its way to the command. */
export interface AttachedInput {
  content(content: Buffer): void
  say(said: Exclude<ClientMessage, { type: 'more' }>): void
}

/** Signals that wait for the engine. Nobody presses so many keys. */
const mostSignals = 16

/**
 * Hands on in order, one thing at a time, however much comes: small pieces of content are joined, of sizes the newest counts, and whoever
 * sends signals faster than the engine takes them is cut off (`fail`).
 */
export function makeAttachedInput(
  to: ClientListener,
  { receiving, more, fail }: { receiving: ReceiveWindow; more: (bytes: number) => void; fail: () => void },
): AttachedInput {
  const pieces: Piece[] = []
  let hasEnded = false
  const handOn = async ({ buffer, length }: Piece): Promise<void> => {
    await to.input(buffer.subarray(0, length))
    const bytes = receiving.used(length)
    if (bytes > 0) more(bytes)
  }
  const takeContent = makeTurns(() => {
    const piece = pieces.shift()
    if (piece !== undefined) return handOn(piece)
    if (hasEnded) to.endInput()
    return null
  }, fail)
  const signals: SignalName[] = []
  const takeSignals = makeTurns(() => {
    const name = signals.shift()
    return name === undefined ? null : to.signal(name)
  }, fail)
  let size: TerminalSize | null = null
  const takeSize = makeTurns(() => {
    const newest = size
    size = null
    return newest === null ? null : to.resize(newest)
  }, fail)

  return {
    content(content) {
      if (content.length === 0) return
      append(pieces, content)
      takeContent()
    },
    say(said) {
      if (said.type === 'end') {
        hasEnded = true
        takeContent()
      } else if (said.type === 'size') {
        size = { columns: said.columns, rows: said.rows }
        takeSize()
      } else if (signals.push(said.name) > mostSignals) fail()
      else takeSignals()
    },
  }
}

interface Piece {
  readonly buffer: Buffer
  length: number
}

/** Into the last piece, where it has room: a byte costs a byte. */
function append(pieces: Piece[], content: Buffer): void {
  const last = pieces.at(-1)
  if (last !== undefined && last.buffer.length - last.length >= content.length) {
    last.length += content.copy(last.buffer, last.length)
    return
  }
  // The first waits a moment at most; what stands behind others may be one of very many.
  const buffer = last === undefined ? content : Buffer.allocUnsafe(Math.max(chunkBytes, content.length))
  if (buffer !== content) content.copy(buffer)
  pieces.push({ buffer, length: content.length })
}

/** One at a time, until there is no next; whoever comes meanwhile is seen to by that. */
function makeTurns(next: () => Promise<void> | null, fail: () => void): () => void {
  let isBusy = false
  const run = async (): Promise<void> => {
    try {
      for (let going = next(); going !== null; going = next()) await going
    } finally {
      isBusy = false
    }
  }
  return () => {
    if (isBusy) return
    isBusy = true
    run().catch(fail)
  }
}
