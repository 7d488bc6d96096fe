import type { ServerMessage, SignalName, TerminalSize } from '../kernel/attachment.ts'
import type { Exit, InstanceSpec } from './runtime.ts'

/** Runs commands that somebody is connected to. Declared by runtime, implemented by `adapters/docker`. */
export interface AttachedRuntime {
  /**
   * Runs a command in a throw-away container of the image, connected from before its first byte. Nothing of its output is kept
   * by the engine. The container stays until it is removed (`Runtime.remove`), by whatever way this ends, also when it throws
   * `unavailable` or `timeout`: then it may have been started. Errors: as of `Runtime.start`.
   */
  runAttached(spec: AttachedSpec, signal: AbortSignal): Promise<Attached>
}

export interface AttachedSpec extends InstanceSpec {
  readonly argv: readonly string[]
  /** The terminal that it gets; null for three plain pipes. */
  readonly terminal: TerminalSize | null
}

export interface Attached {
  readonly containerId: string
  /** Resolves when more may be written. What comes after the end of the command is lost. */
  write(content: Buffer): Promise<void>
  /** The input is at its end. */
  endInput(): void
  /** What it prints, read no faster than it is taken. With a terminal all of it is `stdout`. */
  output(): AsyncIterable<{ readonly channel: 'stdout' | 'stderr'; readonly content: Buffer }>
  resize(size: TerminalSize): Promise<void>
  signal(name: SignalName): Promise<void>
  /**
   * To be asked when the output is at its end. Errors: `unavailable` when the engine went away meanwhile: the connection to the
   * command is lost.
   */
  exit(): Promise<Exit>
  /** Lets go of the connection. The command goes on. */
  close(): void
}

/** Somebody at the other end, as what is run for them sees them. */
export interface AttachedClient {
  /** Fires when they are gone. */
  readonly gone: AbortSignal
  /** What they say from now on, and what they said before. Asks for no more input than `input` has taken. */
  listen(to: ClientListener): void
  /** Resolves when more may be sent, or they are gone. */
  send(channel: 'stdout' | 'stderr', content: Buffer): Promise<void>
  tell(message: ServerMessage): void
  /** Lets them go when all that was sent has arrived. */
  end(): void
}

export interface ClientListener {
  readonly input: (content: Buffer) => Promise<void>
  readonly endInput: () => void
  readonly resize: (size: TerminalSize) => Promise<void>
  readonly signal: (name: SignalName) => Promise<void>
}

/** Brings the two together, until the command has ended and all that it printed is sent. */
export async function join(attached: Attached, client: AttachedClient): Promise<Exit> {
  client.listen({
    input: (content) => attached.write(content),
    endInput: () => attached.endInput(),
    resize: (size) => attached.resize(size),
    signal: (name) => attached.signal(name),
  })
  for await (const { channel, content } of attached.output()) await client.send(channel, content)
  return attached.exit()
}
