/*
 * Which images may go. Kept are those of the newest releases of each environment, of what runs, of pinned releases, of the
 * release that served before the one that does, of the one that a rollback goes to (after a rollback another one), and whatever a
 * deploy is working with.
 */

/** A release whose image is there. */
export interface KeptRelease {
  readonly environmentId: number
  readonly number: number
  readonly buildId: number
  readonly pinned: boolean
  /** Something of it starts, serves or drains, or a route leads to it. */
  readonly running: boolean
  /** The route of its environment leads to it. */
  readonly serves: boolean
  /** The number of the release that it was gone back to as; null: it came by no rollback. */
  readonly backTo: number | null
  /** A deploy of it has been live. */
  readonly wasLive: boolean
}

/** An image that is there, one for each build. */
export interface KeptImage {
  readonly buildId: number
  /** A deploy that waits or runs has to do with it. */
  readonly awaited: boolean
}

/** @returns the builds whose images nobody needs */
export function chooseImagesToRemove(
  images: readonly KeptImage[],
  releases: readonly KeptRelease[],
  keepReleases: number,
): number[] {
  const needed = new Set<number>()
  for (const ofEnvironment of Map.groupBy(releases, (release) => release.environmentId).values()) {
    for (const { buildId } of chooseKept(ofEnvironment, keepReleases)) needed.add(buildId)
  }
  return images.filter(({ buildId, awaited }) => !awaited && !needed.has(buildId)).map(({ buildId }) => buildId)
}

function chooseKept(releases: readonly KeptRelease[], keepReleases: number): KeptRelease[] {
  const newestFirst = releases.toSorted((a, b) => b.number - a.number)
  const before = newestFirst.find(({ wasLive, running }) => wasLive && !running)
  const wayBack = findWayBack(newestFirst)
  return newestFirst.filter(
    (release, i) => i < keepReleases || release.pinned || release.running || release === before || release === wayBack,
  )
}

/** What was gone back from is never gone back to (`findEarlier` in rollbacks/ asks the same of the database). */
function findWayBack(newestFirst: readonly KeptRelease[]): KeptRelease | undefined {
  const byNumber = new Map(newestFirst.map((release) => [release.number, release]))
  let first = newestFirst.find(({ serves }) => serves)
  const builds = new Set<number>()
  while (first !== undefined) {
    builds.add(first.buildId)
    const earlier = first.backTo === null ? undefined : byNumber.get(first.backTo)
    if (earlier === undefined || earlier.number >= first.number) break
    first = earlier
  }
  const below = first?.number ?? 0
  return newestFirst.find(({ number, buildId, wasLive }) => wasLive && number < below && !builds.has(buildId))
}
