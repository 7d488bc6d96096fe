import type { Readable } from 'node:stream'
import type { SlipwayError } from '../kernel/errors.ts'

/** Read access to the commits of an app's repository. Every call has a time limit of its own. */
export interface Source {
  /**
   * The files' contents in the order in which they were asked for: null when the commit has no such file (a symbolic link or
   * folder counts as none), an error `too_large` in the place of one that is longer than its `maxBytes`. One call for many:
   * each costs two processes.
   */
  readFiles(app: string, commit: string, wanted: readonly WantedFile[]): Promise<(Buffer | SlipwayError | null)[]>
  /** Refuses trees that would explode in `git archive` (over 200,000 entries or 2 GB) with `too_large`. */
  surveyTree(app: string, commit: string, signal: AbortSignal): Promise<TreeSurvey>
  /**
   * `git archive` of the commit (of the folder `context` in it; '.' is all) as a tar stream. The stream errors when git
   * fails or the signal fires.
   */
  archive(app: string, commit: string, context: string, signal: AbortSignal): Readable
}

export interface WantedFile {
  readonly path: string
  readonly maxBytes: number
}

export interface TreeSurvey {
  readonly entries: number
  readonly bytes: number
  /** Paths of submodules, at most ten: their content is in other repositories. */
  readonly submodules: readonly string[]
  /** Paths of Git LFS pointers, at most ten. */
  readonly lfsPointers: readonly string[]
}
