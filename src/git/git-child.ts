import type { Duplex, Readable, Writable } from 'node:stream'

/** Starts git with a list of arguments, its own small environment and bounded memory. Implemented by `adapters/git-cli`. */
export type SpawnGit = (args: readonly string[], options: SpawnOptions) => GitChild

/** No git is started without them: a disk that hangs, or a process that somebody stopped, never ends by itself. */
export interface GitLimits {
  /**
   * How long git may do nothing that can be seen while it is its turn: it takes nothing of what it was given, or has all of it
   * and says nothing. A slow client, on either side, does not count, nor does what git's hook waits for Slipway.
   */
  readonly idleMs: number
  /** All of its time but what its hook waits for Slipway. */
  readonly totalMs: number
  /** Ends it. */
  readonly signal?: AbortSignal
}

interface SpawnOptions {
  readonly limits: GitLimits
  /** Added to git's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Opens two more descriptors, for the hook that git will run. */
  readonly forHook?: boolean
}

/** What git's children inherit besides their own three descriptors; nobody else can reach it. */
export interface HookPipes {
  /** Descriptor 3: git's words come from there, and the answers go there. */
  readonly talk: Duplex
  /** Descriptor 4: lines for the pusher. */
  readonly lines: Writable
}

export interface GitChild {
  readonly stdin: Writable
  readonly stdout: Readable
  /** null unless asked for. */
  readonly hookPipes: HookPipes | null
  /** Never rejects, and comes soon after it was killed, whatever becomes of the process. */
  readonly exited: Promise<GitExit>
  /** Whether the kernel has ended something in it for its memory, so far. */
  readonly outOfMemory: () => boolean
  /**
   * SIGTERM to git and all its children, also to stopped ones, SIGKILL after 5 s; safe to repeat. Git removes its temporary files
   * on SIGTERM.
   */
  readonly kill: () => void
}

export interface GitExit {
  /** null when a signal ended it or it could not be started. */
  readonly code: number | null
  /** The first 4 KiB of standard error. */
  readonly stderr: string
  readonly outOfMemory: boolean
  /** Why its limits ended it: `timeout`, or the signal’s reason; null when they did not. */
  readonly endedFor: Error | null
}
