/*
 * What goes over a connection to a command that runs somewhere else: its input, its outputs, and what happens to it. Both ends
 * use this file. What is said is text (JSON), what flows is binary: one byte for the channel, then the content.
 *
 * Nobody stops reading the connection: signals, sizes and pings must pass a full pipe. So each side may only send as much
 * content as the other has said it has room for (`more`), beginning with `windowBytes`.
 */

export const windowBytes = 1024 * 1024
/** Of content in one message. */
export const chunkBytes = 32 * 1024
/** A message that is longer is refused by whoever gets it. */
export const longestMessage = 64 * 1024
/** Room is told of in such steps, lest each chunk is answered. */
const moreBytes = windowBytes / 4

export const signalNames = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const
export type SignalName = (typeof signalNames)[number]

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

export type Channel = 'stdin' | 'stdout' | 'stderr'
const channels: readonly Channel[] = ['stdin', 'stdout', 'stderr']

/** What a client says. */
export type ClientMessage =
  | { readonly type: 'more'; readonly bytes: number }
  /** The command's input is at its end. */
  | { readonly type: 'end' }
  | { readonly type: 'signal'; readonly name: SignalName }
  | ({ readonly type: 'size' } & TerminalSize)

/** What the server says. The last is `exit` or `failed`. */
export type ServerMessage =
  | { readonly type: 'more'; readonly bytes: number }
  | { readonly type: 'started' }
  | { readonly type: 'exit'; readonly exitCode: number; readonly outOfMemory: boolean }
  | { readonly type: 'failed'; readonly code: string; readonly detail: string; readonly hint?: string }

export function encodeContent(channel: Channel, content: Buffer): Buffer {
  return Buffer.concat([Buffer.of(channels.indexOf(channel)), content])
}

/** Null when it is none. */
export function decodeContent(message: Buffer): { channel: Channel; content: Buffer } | null {
  const channel = channels[message[0] ?? channels.length]
  return channel === undefined ? null : { channel, content: message.subarray(1) }
}

/** Null for whatever a client of this version does not say. */
export function readClientMessage(text: string): ClientMessage | null {
  const said = parse(text)
  switch (said['type']) {
    case 'more':
      return isWhole(said['bytes'], windowBytes) ? { type: 'more', bytes: said['bytes'] } : null
    case 'end':
      return { type: 'end' }
    case 'signal': {
      const name = signalNames.find((known) => known === said['name'])
      return name === undefined ? null : { type: 'signal', name }
    }
    case 'size': {
      const { columns, rows } = said
      return isWhole(columns, 10_000) && isWhole(rows, 10_000) ? { type: 'size', columns, rows } : null
    }
    default:
      return null
  }
}

/** Null for what this version does not know: a newer server may say more. */
export function readServerMessage(text: string): ServerMessage | null {
  const said = parse(text)
  switch (said['type']) {
    case 'more':
      return isWhole(said['bytes'], windowBytes) ? { type: 'more', bytes: said['bytes'] } : null
    case 'started':
      return { type: 'started' }
    case 'exit':
      return typeof said['exitCode'] === 'number'
        ? { type: 'exit', exitCode: said['exitCode'], outOfMemory: said['outOfMemory'] === true }
        : null
    case 'failed': {
      const { code, detail, hint } = said
      if (typeof code !== 'string' || typeof detail !== 'string') return null
      return { type: 'failed', code, detail, ...(typeof hint === 'string' ? { hint } : {}) }
    }
    default:
      return null
  }
}

function parse(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

const isWhole = (value: unknown, most: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most

/** How much may be sent until the other side says more. */
export interface SendWindow {
  /** Resolves when something may be sent, or the window was closed. */
  room(): Promise<void>
  /** How much of `wanted` may be sent now; it counts as sent. */
  take(wanted: number): number
  give(bytes: number): void
  close(): void
}

export function makeSendWindow(): SendWindow {
  let left = windowBytes
  let isClosed = false
  let waiting: (() => void)[] = []
  const wake = (): void => {
    for (const go of waiting.splice(0)) go()
  }
  return {
    room: () =>
      left > 0 || isClosed ? Promise.resolve() : new Promise((resolve) => (waiting = [...waiting, () => resolve()])),
    take(wanted) {
      const taken = Math.min(wanted, left, chunkBytes)
      left -= taken
      return taken
    },
    give(bytes) {
      left = Math.min(windowBytes, left + bytes)
      wake()
    },
    close() {
      isClosed = true
      wake()
    },
  }
}

/** Counts what came and was used, and says when the other side should hear of it. */
export interface ReceiveWindow {
  /** False when the other side sent more than there was room for. */
  came(bytes: number): boolean
  /** Content was handed on; returns how much room to tell of, 0 for nothing yet. */
  used(bytes: number): number
}

export function makeReceiveWindow(): ReceiveWindow {
  let open = windowBytes
  let untold = 0
  return {
    came(bytes) {
      open -= bytes
      return open >= 0
    },
    used(bytes) {
      untold += bytes
      if (untold < moreBytes) return 0
      const more = untold
      untold = 0
      open += more
      return more
    },
  }
}

/** Sends all of `content` as the window lets it; false when the window was closed before. */
export async function sendContent(
  content: Buffer,
  window: SendWindow,
  send: (chunk: Buffer) => void,
  isOver: () => boolean,
): Promise<boolean> {
  for (let at = 0; at < content.length; ) {
    await window.room()
    if (isOver()) return false
    const size = window.take(content.length - at)
    if (size > 0) send(content.subarray(at, at + size))
    at += size
  }
  return true
}
