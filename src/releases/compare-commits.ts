/** A repository, as far as it is asked for what lies between two commits. */
export interface History<Commit> {
  /** How many commits lie only behind `to`, and only behind `from` (null: nothing); null when one of them is not there any more. */
  countBetween(app: string, from: string | null, to: string): Promise<{ added: number; left: number } | null>
  /** The newest commits that `to` has behind it and `from` has not. */
  listBetween(app: string, range: { from: string | null; to: string; limit: number }): Promise<readonly Commit[]>
}

/** The first of a list, and how many there are. */
export interface Cut<T> {
  readonly total: number
  readonly first: readonly T[]
}

export interface CommitsDifference<Commit> {
  readonly added: Cut<Commit>
  /** Those that only the first one has: it went back, or its branch was rewritten. */
  readonly removed: Cut<Commit>
}

const mostCommits = 50

/** `from` null: all that is behind `to` is added. Null when one of the two is not in the repository any more. */
export async function compareCommits<Commit>(
  history: History<Commit>,
  app: string,
  { from, to }: { from: string | null; to: string },
): Promise<CommitsDifference<Commit> | null> {
  if (from === to) return { added: { total: 0, first: [] }, removed: { total: 0, first: [] } }
  const counts = await history.countBetween(app, from, to)
  if (counts === null) return null
  const list = (range: { from: string | null; to: string }, total: number) =>
    total === 0 ? [] : history.listBetween(app, { ...range, limit: mostCommits })
  const [added, removed] = await Promise.all([
    list({ from, to }, counts.added),
    from === null ? [] : list({ from: to, to: from }, counts.left),
  ])
  return { added: { total: counts.added, first: added }, removed: { total: counts.left, first: removed } }
}
