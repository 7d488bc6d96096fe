/** The bare repositories, one for each app. Declared here, implemented by `adapters/git-cli`. Every call has a time limit. */
export interface Repositories {
  /** Makes the repository when it is not there. Two at once make one. */
  readonly ensure: (app: string) => Promise<void>
  readonly exists: (app: string) => Promise<boolean>
  /** Its folder. */
  readonly pathOf: (app: string) => string
  /** The folder of a repository that is always empty: what an app that has none yet looks like. */
  readonly emptyPath: () => Promise<string>
  /** Removes a repository that holds no ref at all, hidden ones included; any other stays. */
  readonly removeIfEmpty: (app: string) => Promise<void>
  /** Removes a repository with all that it holds. Only while nobody pushes to it; safe to repeat. */
  readonly remove: (app: string) => Promise<void>
  /**
   * A full commit id for a branch or a tag (its name alone, or in full), a full id or the beginning of one (4 digits or more). Else
   * `not_found` with the reason, or `conflict` for a name that is both.
   */
  readonly resolveCommit: (app: string, given: string) => Promise<string>
  /** The commit a branch points to; null when there is no such branch. */
  readonly resolveBranch: (app: string, branch: string) => Promise<string | null>
  readonly isAncestor: (app: string, ancestor: string, descendant: string) => Promise<boolean>
  /**
   * How many commits only `to` has behind it, and only `from` (null: there is none, so all count); null when one of them is not there any
   * more.
   */
  readonly countBetween: (
    app: string,
    from: string | null,
    to: string,
  ) => Promise<{ added: number; left: number } | null>
  /** The newest commits that `to` has behind it and `from` has not; none when one of them is not there any more. */
  readonly listBetween: (app: string, range: { from: string | null; to: string; limit: number }) => Promise<Commit[]>
  /** Author and subject of these commits, by id; without those that are not there any more. */
  readonly describeCommits: (app: string, ids: readonly string[]) => Promise<ReadonlyMap<string, Commit>>
  /** All of them or none; `conflict` says which could not move and why. */
  readonly moveRefs: (app: string, moves: readonly RefMove[]) => Promise<void>
  /** The refs that begin with `prefix` (which ends in a slash), and what they point to. */
  readonly listRefs: (app: string, prefix: string) => Promise<ReadonlyMap<string, string>>
  /** Which branch a clone checks out. */
  readonly setHead: (app: string, branch: string) => Promise<void>
  /** Holds the commit of a deploy by a hidden ref, whatever happens to its branch. Safe to repeat. */
  readonly keepCommit: (app: string, deployId: number, commit: string) => Promise<void>
  /** Lets the commits of these deploys go. Safe to repeat. */
  readonly dropKept: (app: string, deployIds: readonly number[]) => Promise<void>
  /**
   * Removes what git children that were killed left behind: locks older than 2 s, temporary objects older than an hour. Only
   * while no push runs.
   */
  readonly sweep: () => Promise<void>
  /**
   * Packs what has come in since and drops what no ref has reached for two weeks, when there is enough of it to be worth
   * while; removes temporary objects that are older than a day. Only while nobody pushes to it; safe to break off at any
   * point.
   */
  readonly tidy: (app: string, signal: AbortSignal) => Promise<void>
}

/** Author and subject are foreign text. */
export interface Commit {
  readonly id: string
  readonly author: string
  readonly at: Date
  readonly subject: string
}

export interface RefMove {
  /** Full name. Bytes as latin1: a ref's name need not be UTF-8. */
  readonly ref: string
  /** What it must point to now; the zero id: it must not exist; null: whatever it is. */
  readonly old: string | null
  /** The zero id deletes it. */
  readonly new: string
}

export const zeroId = '0'.repeat(40)

/** Where the commits of deploys and of unfinished pushes are held. Hidden from clients, not pushable. */
export const heldRefs = {
  ofDeploys: 'refs/slipway/deploys/',
  ofDeploy: (deployId: number): string => `refs/slipway/deploys/${deployId}`,
  ofPushes: 'refs/slipway/pushes/',
  ofPush: (pushId: number): string => `refs/slipway/pushes/${pushId}/`,
} as const
