/*
 * The line of the builds that wait for a slot. Apps take turns; inside an app who came first goes first. So no app waits
 * for more builds of others than there are apps, however many builds one of them brings. No input or output happens here.
 */

/** One entry for each app that has builds in the line; the app whose turn is next stands first. */
export type BuildLine = readonly AppTurn[]

interface AppTurn {
  readonly appId: number
  /** Ids, in the order in which they came. */
  readonly builds: readonly number[]
}

export interface LinedBuild {
  readonly id: number
  readonly appId: number
}

export function enter(line: BuildLine, { id, appId }: LinedBuild): BuildLine {
  if (!line.some((turn) => turn.appId === appId)) return [...line, { appId, builds: [id] }]
  return line.map((turn) => (turn.appId === appId ? { appId, builds: [...turn.builds, id] } : turn))
}

/** The line without a build that gave up. Its app keeps its turn when it has others. */
export function leave(line: BuildLine, id: number): BuildLine {
  return line
    .map(({ appId, builds }) => ({ appId, builds: builds.filter((other) => other !== id) }))
    .filter(({ builds }) => builds.length > 0)
}

/** The build whose turn it is, and the line without it: its app goes to the end. Null when nothing waits. */
export function takeNext(line: BuildLine): { readonly id: number; readonly line: BuildLine } | null {
  const [turn, ...others] = line
  const [id, ...rest] = turn?.builds ?? []
  if (turn === undefined || id === undefined) return null
  return { id, line: rest.length === 0 ? others : [...others, { appId: turn.appId, builds: rest }] }
}

/** All builds of the line in the order in which they would begin if nobody else came. */
export function inOrder(line: BuildLine): number[] {
  const rounds = Math.max(0, ...line.map(({ builds }) => builds.length))
  return Array.from({ length: rounds }, (_, round) =>
    line.flatMap(({ builds }) => builds.slice(round, round + 1)),
  ).flat()
}
