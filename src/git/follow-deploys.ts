import { isBuildHeading, renderLine } from '../deploys/index.ts'
import type { GitDependencies } from './dependencies.ts'
import * as say from './push-messages.ts'

type Needs = Pick<GitDependencies, 'deploys' | 'logger'>

interface Answer {
  line(text: string): Promise<void>
  readonly gone: AbortSignal
}

/** The others of a push have joined the build by then, if they want the same: they all begin at once. */
const joinMs = 1_000
const lookEveryMs = 50

/**
 * Shows the pusher one deploy after the other: what a later one printed meanwhile is stored and comes when its turn does. What a
 * build prints that several of them share is shown once.
 */
export async function followDeploys(deps: Needs, queued: readonly say.Queued[], answer: Answer): Promise<void> {
  const shown = new Map<number, Shown>()
  for (const [i, one] of queued.entries()) {
    if (answer.gone.aborted) return
    try {
      await followDeploy(deps, { one, later: queued.slice(i + 1), shown }, answer)
    } catch (error) {
      if (answer.gone.aborted) return
      deps.logger.warn('a deploy cannot be followed', { deployId: one.deployId, error })
      for (const line of say.tellLostSight(queued.slice(i))) await answer.line(line)
      return
    }
  }
}

/** What was shown of a build: so many lines, with the deploy to this environment. */
interface Shown {
  readonly lines: number
  readonly environment: string
}

interface Turn {
  readonly one: say.Queued
  readonly later: readonly say.Queued[]
  readonly shown: Map<number, Shown>
}

async function followDeploy(deps: Needs, turn: Turn, answer: Answer): Promise<void> {
  const { one, later, shown } = turn
  const isAlone = later.length === 0 && shown.size === 0
  let inBuild = false
  let build: number | null = null
  let printed = 0
  for await (const line of deps.deploys.follow(one.deployId, { after: 0, signal: answer.gone })) {
    if (line.kind === 'step') inBuild = isBuildHeading(line)
    if (inBuild && line.kind === 'output' && !isAlone) {
      if (printed === 0) {
        build = (await deps.deploys.get(one.deployId)).buildId
        for (const text of await introduce(deps, build, turn)) await answer.line(text)
      }
      printed += 1
      // All deploys that wait for a build have the same lines of it, from the first one on.
      if (build !== null && printed <= (shown.get(build)?.lines ?? 0)) continue
    }
    await answer.line(renderLine(line))
  }
  if (build !== null && printed > (shown.get(build)?.lines ?? 0))
    shown.set(build, { lines: printed, environment: one.environment })
}

/** What is said before the first line that a build prints. */
async function introduce(deps: Needs, build: number | null, { one, later, shown }: Turn): Promise<string[]> {
  if (build === null) return []
  const before = shown.get(build)
  if (before !== undefined) return say.tellShownBefore(one, before.environment)
  const others = await findSharers(
    deps,
    build,
    later.filter(({ commit }) => commit === one.commit),
  )
  return others.length === 0 ? [] : say.tellSharedBuild([one, ...others])
}

async function findSharers({ deploys }: Needs, build: number, others: readonly say.Queued[]): Promise<say.Queued[]> {
  for (const endMs = performance.now() + joinMs; ; await new Promise((resolve) => setTimeout(resolve, lookEveryMs))) {
    const found = await Promise.all(others.map(({ deployId }) => deploys.get(deployId)))
    const isOpen = found.some(({ state, buildId }) => state === 'running' && buildId === null)
    if (!isOpen || performance.now() > endMs) return others.filter((_, i) => found[i]?.buildId === build)
  }
}
