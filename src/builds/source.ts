import type { Readable } from 'node:stream'

/** Read access to the commits of an app's repository. Every call has a time limit of its own. */
export interface Source {
  /** The file's content, or null when the commit has no such file (a symbolic link or folder counts as none). At most
   * `maxBytes`: a longer file throws `too_large`. */
  readFile(app: string, commit: string, path: string, maxBytes: number): Promise<Buffer | null>
  /** Refuses trees that would explode in `git archive` (over 200,000 entries or 2 GB) with `too_large`. */
  measureTree(app: string, commit: string, signal: AbortSignal): Promise<TreeSize>
  /** Paths of the Git LFS pointers in this commit, at most ten; empty when there is none. */
  findLfsPointers(app: string, commit: string, signal: AbortSignal): Promise<string[]>
  /** `git archive` of the commit (of the folder `context` in it; '.' is all) as a tar stream. The stream errors when git fails or the signal fires. */
  archive(app: string, commit: string, context: string, signal: AbortSignal): Readable
}

export interface TreeSize {
  readonly entries: number
  readonly bytes: number
  /** Paths of submodules, at most ten: their content is in other repositories. */
  readonly submodules: readonly string[]
}
