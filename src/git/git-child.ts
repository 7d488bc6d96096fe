import type { Duplex, Readable, Writable } from 'node:stream'

/** Starts git with a list of arguments, its own small environment and bounded memory. Implemented by `adapters/git-cli`. */
export type SpawnGit = (args: readonly string[], options?: SpawnOptions) => GitChild

interface SpawnOptions {
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
  /** Never rejects. */
  readonly exited: Promise<GitExit>
  /** Whether the kernel has ended something in it for its memory, so far. */
  readonly outOfMemory: () => boolean
  /** SIGTERM to git and its children, SIGKILL after 5 s; safe to repeat. Git removes its temporary files on SIGTERM. */
  readonly kill: () => void
}

export interface GitExit {
  /** null when a signal ended it or it could not be started. */
  readonly code: number | null
  /** The first 4 KiB of standard error. */
  readonly stderr: string
  readonly outOfMemory: boolean
}
