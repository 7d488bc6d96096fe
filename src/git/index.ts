import { setTimeout } from 'node:timers/promises'
import { assertMay, type Principal } from '../accounts/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { parseAppName, quote } from '../kernel/names.ts'
import type { GitDependencies } from './dependencies.ts'
import { type HeldCommits, levelHeldCommits } from './held-commits.ts'
import { makeHooks } from './hooks.ts'
import { learnBranches } from './learn-branches.ts'
import { assertStays, makeOpenPushes, type OpenPush } from './open-pushes.ts'
import { receivePush } from './receive-push.ts'
import { recoverPushes } from './recover-pushes.ts'

export type { GitChild, GitExit, GitLimits, HookPipes, SpawnGit } from './git-child.ts'
export { type Commit, heldRefs, type RefMove, type Repositories, zeroId } from './repositories.ts'
export type { OpenPush } from './open-pushes.ts'
export { encodePkt, flushPkt, PktReader, textOf } from './pkt-line.ts'
export { mostUpdates, parseRefUpdate, type RefUpdate, tooManyUpdates } from './push-request.ts'

/** Git as transports (HTTP, SSH) and `main` see it. */
export interface Git {
  /** The folder a fetch reads; of an app without a repository, an empty one. Throws `not_found`, `not_allowed`. */
  openFetch(principal: Principal, app: string): Promise<string>
  /** The folder whose refs a push is shown; for an app that does not exist yet, an empty one: nothing is made by asking. */
  openAdvertisement(principal: Principal, app: string): Promise<string>
  /** Begins a push; the repository is made when it is not there. Whoever calls it closes it. */
  openPush(principal: Principal, app: string, clientGone: AbortSignal): Promise<OpenPush>
  /** A person chooses the branch that environments without one of their own follow and that a clone checks out. */
  setDefaultBranch(app: string, branch: string, by: string): Promise<void>
  /** Cleans up and finishes what a crash left. Before any push is let in. */
  start(): Promise<void>
  /**
   * Levels the hidden refs of an app's deploys with the database, then tidies its repository, unless somebody pushes to it.
   * Commits of deploys that ended without a release are held for `keepDays`.
   */
  tidy(app: string, options: { keepDays: number; signal: AbortSignal }): Promise<Tidied>
  /** Lets the commits of these deploys go, which are about to be forgotten. Safe to repeat. */
  forgetDeploys(app: string, deployIds: readonly number[]): Promise<void>
  /** Removes an app's repository once nobody pushes to it; nobody may begin to. Safe to repeat. */
  removeRepository(app: string, signal: AbortSignal): Promise<void>
  /** Lets go of the pushes that are followed; what they began goes on. */
  stop(): void
}

export interface Tidied extends HeldCommits {
  /** False when somebody pushed just then: the next night comes. */
  readonly packed: boolean
}

const refsAtOnce = 500
/** How often it is looked whether the last push to an app that goes is over. */
const untilIdleMs = 250

export function makeGit(given: Omit<GitDependencies, 'stopped'>): Git {
  const stop = new AbortController()
  const deps: GitDependencies = { ...given, stopped: stop.signal }
  const hooks = makeHooks({
    logger: deps.logger,
    receive: (push, request, answer) => receivePush(deps, push, request, answer),
    settle: (push) => pushes.settle(push),
  })
  const pushes = makeOpenPushes({ ...deps, meetHook: hooks.meet })

  const pathOrEmpty = async (app: string): Promise<string> =>
    (await deps.repositories.exists(app)) ? deps.repositories.pathOf(app) : deps.repositories.emptyPath()

  return {
    async openFetch(principal, name) {
      const app = parseAppName(name)
      assertMay(principal, 'git.read', app)
      if ((await deps.environments.findApp(app)) === null) {
        throw new SlipwayError('not_found', `There is no app ${quote(app)} here.`, {
          hint: 'Look at the name in the address. A push makes the app: git push <remote> main',
        })
      }
      return pathOrEmpty(app)
    },
    async openAdvertisement(principal, name) {
      const app = parseAppName(name)
      assertMay(principal, 'git.push', app)
      const there = await deps.environments.findApp(app)
      if (there !== null) {
        // Here git shows the reason to its user.
        assertStays(there)
        return pathOrEmpty(app)
      }
      assertMay(principal, 'apps.create', app)
      return deps.repositories.emptyPath()
    },
    openPush: (principal, app, clientGone) => pushes.open(principal, app, clientGone),
    async setDefaultBranch(app, branch, by) {
      await deps.environments.pinDefaultBranch(app, branch, by)
      if (await deps.repositories.exists(app)) await deps.repositories.setHead(app, branch)
    },
    async start() {
      await deps.repositories.sweep()
      await recoverPushes(deps)
      await learnBranches(deps)
    },
    async tidy(app, { keepDays, signal }) {
      if (!(await deps.repositories.exists(app))) return { held: 0, dropped: 0, packed: false }
      const levelled = await levelHeldCommits(deps, app, keepDays)
      const packed = await pushes.whileIdle(app, (came) => deps.repositories.tidy(app, AbortSignal.any([came, signal])))
      return { ...levelled, packed }
    },
    async forgetDeploys(app, deployIds) {
      if (!(await deps.repositories.exists(app))) return
      for (let i = 0; i < deployIds.length; i += refsAtOnce) {
        await deps.repositories.dropKept(app, deployIds.slice(i, i + refsAtOnce))
      }
    },
    async removeRepository(app, signal) {
      while (!(await pushes.whileIdle(app, () => deps.repositories.remove(app)))) {
        await setTimeout(untilIdleMs, undefined, { signal })
      }
    },
    stop() {
      stop.abort()
      hooks.close()
    },
  }
}
