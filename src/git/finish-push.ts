import type { DeployRequest } from '../deploys/index.ts'
import type { App, Environment } from '../environments/index.ts'
import { appendEvent } from '../kernel/events.ts'
import type { Transaction } from '../postgres/database.ts'
import type { GitDependencies } from './dependencies.ts'
import { type AcceptedUpdate, type ArrivedBranch, asAccepted, planDeploys } from './plan-push.ts'
import type { Queued } from './push-messages.ts'
import type { PushOptions } from './push-options.ts'
import { heldRefs, zeroId } from './repositories.ts'
import * as store from './store.ts'
import type { Verdict } from './strict-verdict.ts'

/** A push whose refs have moved. */
export interface MovedPush {
  readonly id: number
  readonly app: string
  readonly pushedBy: string
  readonly options: PushOptions
  readonly moved: readonly AcceptedUpdate[]
  /** The hidden refs that hold its commits. */
  readonly held: readonly string[]
}

export interface Finished {
  readonly environments: readonly Environment[]
  readonly arrived: readonly ArrivedBranch[]
  readonly queued: readonly Queued[]
  /** Settles when the commits are held by their deploys, no longer by the push; never rejects. */
  readonly handedOver: Promise<void>
}

/**
 * Queues what follows from a push, and marks it received, in one transaction: it happens once, however often it is called.
 */
export async function finishPush(deps: GitDependencies, push: MovedPush): Promise<Finished> {
  const finished = await deps.db.transaction((tx) => queueDeploys(deps, tx, push))
  deps.deploys.wake()
  return { ...finished, handedOver: holdByDeploys(deps, push, finished.queued) }
}

async function queueDeploys(
  deps: GitDependencies,
  tx: Transaction,
  push: MovedPush,
): Promise<Omit<Finished, 'handedOver'>> {
  const open = await store.closePush(tx, push.id, 'received')
  const app = await deps.environments.getApp(push.app)
  await noteArrived(deps, tx, app, push.moved)
  // Somebody who goes back may be about to hold one: from here on it is either seen, or sees the deploys of this push.
  await deps.environments.hold(tx, app)
  const environments = await deps.environments.list(app.name, tx)
  const arrived = planDeploys(push.moved, push.options, environments)
  if (open) await recordPush(tx, app.id, push)
  const { forceRebuild } = push.options
  const about = { requestedBy: push.pushedBy, pushId: push.id, forceRebuild, strict: false }
  const queued = await requestAll(deps, tx, open ? arrived : [], about)
  return { environments, arrived, queued }
}

/** In the order of the environments, whatever that of the branches is: two pushes at once never wait for each other's lines. */
export async function requestAll(
  { deploys }: GitDependencies,
  tx: Transaction,
  arrived: readonly ArrivedBranch[],
  about: Pick<DeployRequest, 'requestedBy' | 'pushId' | 'forceRebuild' | 'strict'>,
): Promise<Queued[]> {
  const wanted = arrived
    .flatMap(({ branch, commit, deployTo }) => deployTo.map((environment) => ({ branch, commit, environment })))
    .toSorted((a, b) => a.environment.id - b.environment.id)
  const queued: Queued[] = []
  for (const { branch, commit, environment } of wanted) {
    const request = { environmentId: environment.id, kind: 'push', branch, commit } as const
    queued.push({ ...(await deploys.request(tx, { ...request, ...about })), environment: environment.name, commit })
  }
  return queued
}

/** A branch that arrived may become the app's default. */
async function noteArrived(
  deps: GitDependencies,
  tx: Transaction,
  app: App,
  moved: readonly AcceptedUpdate[],
): Promise<void> {
  const branches = moved.flatMap((u) => (u.branch === null || u.new === zeroId ? [] : [u.branch]))
  const defaultBranch = await deps.environments.noteArrivedBranches(tx, app, branches)
  if (defaultBranch !== null && defaultBranch !== app.defaultBranch) {
    // Before the commit: should that fail, the same is done again.
    await deps.repositories.setHead(app.name, defaultBranch)
  }
}

/** Records what became of a strict push, and ends its lease. It happens once, however often it is called. */
export async function closeStrictPush(
  deps: GitDependencies,
  push: store.UnfinishedPush,
  { accepted, reason }: Pick<Verdict, 'accepted' | 'reason'>,
): Promise<void> {
  await deps.db.transaction(async (tx) => {
    if (!(await store.closeStrict(tx, push.id, accepted ? 'received' : 'rejected'))) return
    const app = await deps.environments.getApp(push.app)
    if (accepted) {
      const moved = push.updates.flatMap((update) => asAccepted(update))
      await noteArrived(deps, tx, app, moved)
      await recordPush(tx, app.id, { ...push, moved })
    } else {
      const data = { push: push.id, updates: push.updates, reason }
      await appendEvent(tx, { kind: 'push.rejected', appId: app.id, by: push.pushedBy, data })
    }
  })
}

async function recordPush(
  tx: Transaction,
  appId: number,
  push: Pick<MovedPush, 'id' | 'pushedBy' | 'moved'>,
): Promise<void> {
  await store.recordBranches(tx, appId, push.moved.flatMap(branchMove))
  const updates = push.moved.map(({ ref, old, new: to }) => ({ ref, old, new: to }))
  await appendEvent(tx, { kind: 'push.received', appId, by: push.pushedBy, data: { push: push.id, updates } })
}

function branchMove({ branch, new: to }: AcceptedUpdate): store.BranchMove[] {
  return branch === null ? [] : [{ branch, head: to === zeroId ? null : to }]
}

/** Best effort: what is left of a push that died here is found at the next start. */
export async function holdByDeploys(
  { repositories, logger }: GitDependencies,
  push: Pick<MovedPush, 'id' | 'app' | 'held'>,
  queued: readonly Queued[],
): Promise<void> {
  try {
    if (queued.length + push.held.length === 0) return
    await repositories.moveRefs(push.app, [
      ...queued.map(({ deployId, commit }) => ({ ref: heldRefs.ofDeploy(deployId), old: null, new: commit })),
      ...push.held.map((ref) => ({ ref, old: null, new: zeroId })),
    ])
  } catch (error) {
    logger.warn('the commits of a push are still held by the push', { app: push.app, pushId: push.id, error })
  }
}
