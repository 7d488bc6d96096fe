import type { Deploy } from '../deploys/index.ts'
import type { GitDependencies } from './dependencies.ts'
import { finishPush } from './finish-push.ts'
import { type AcceptedUpdate, asAccepted } from './plan-push.ts'
import { parsePushOptions } from './push-options.ts'
import type { RefUpdate } from './push-request.ts'
import { heldRefs, zeroId } from './repositories.ts'
import { settleStrictPush } from './settle-strict.ts'
import * as store from './store.ts'

/**
 * Finishes what a crash interrupted between Git and the database: a push whose branches moved is received and its deploys
 * are queued; one whose branches did not move is lost, as its client was told. A strict push is settled when its deploys have
 * ended. Called at start, before any push is let in.
 */
export async function recoverPushes(deps: GitDependencies): Promise<{ received: number; lost: number }> {
  const result = { received: 0, lost: 0 }
  for (const push of await store.findUnfinishedPushes(deps.db, 'receiving')) result[await recoverPush(deps, push)] += 1
  const strict = await store.findUnfinishedPushes(deps.db, 'strict')
  await releaseForgotten(deps, new Set(strict.map(({ id }) => id)))
  // In the background: their deploys go on when everything has started.
  for (const push of strict) void settleStrictPush(deps, push)
  return result
}

export async function recoverPush(deps: GitDependencies, push: store.UnfinishedPush): Promise<'received' | 'lost'> {
  const there = await deps.repositories.exists(push.app)
  const held = there ? await deps.repositories.listRefs(push.app, heldRefs.ofPush(push.id)) : new Map<string, string>()
  const moved = there ? await findMoved(deps, push, new Set(held.values())) : []
  deps.logger.info('an interrupted push was found', { app: push.app, pushId: push.id, moved: moved.length })
  if (moved.length === 0) {
    await store.closePush(deps.db, push.id, 'lost')
    return 'lost'
  }
  const { id, app, pushedBy } = push
  const options = parsePushOptions(push.options)
  const finished = await finishPush(deps, { id, app, pushedBy, options, moved, held: [...held.keys()] })
  await finished.handedOver
  return 'received'
}

/** A branch counts when the push's hidden ref proves that it moved and it still stands there. */
async function findMoved(
  deps: GitDependencies,
  push: store.UnfinishedPush,
  held: ReadonlySet<string>,
): Promise<AcceptedUpdate[]> {
  const now = await deps.repositories.listRefs(push.app, 'refs/')
  return push.updates.flatMap((update) => {
    const moved = (branch: string | null): boolean =>
      stands(update, now) && (branch === null || update.new === zeroId || held.has(update.new))
    return asAccepted(update).filter(({ branch }) => moved(branch))
  })
}

function stands(update: RefUpdate, now: ReadonlyMap<string, string>): boolean {
  return (now.get(update.ref) ?? zeroId) === update.new
}

/** Commits that are still held by pushes of which nothing is left to do. */
async function releaseForgotten(deps: GitDependencies, open: ReadonlySet<number>): Promise<void> {
  for (const { name } of await deps.environments.listApps()) {
    if (!(await deps.repositories.exists(name))) continue
    const all = await deps.repositories.listRefs(name, heldRefs.ofPushes)
    const forgotten = new Map([...all].filter(([ref]) => !open.has(pushOf(ref))))
    if (forgotten.size === 0) continue
    const held = await findDeploysOf(deps, name, new Set(forgotten.values()))
    await deps.repositories.moveRefs(name, [
      ...held.map(({ id, commit }) => ({ ref: heldRefs.ofDeploy(id), old: null, new: commit })),
      ...[...forgotten.keys()].map((ref) => ({ ref, old: null, new: zeroId })),
    ])
  }
}

const pushOf = (ref: string): number => Number(ref.slice(heldRefs.ofPushes.length).split('/')[0])

async function findDeploysOf(deps: GitDependencies, app: string, commits: ReadonlySet<string>): Promise<Deploy[]> {
  const lists = (await deps.environments.list(app)).map((e) => deps.deploys.list(e.id, { limit: 100 }))
  return (await Promise.all(lists)).flat().filter((deploy) => commits.has(deploy.commit))
}
