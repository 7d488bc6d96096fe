import type { App, Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import type { Transaction } from '../postgres/database.ts'
import type { GitDependencies } from './dependencies.ts'
import { holdByDeploys, requestAll } from './finish-push.ts'
import { type AcceptedUpdate, type ArrivedBranch, planDeploys } from './plan-push.ts'
import { describeLease, describeMoved, describeOther, type Queued } from './push-messages.ts'
import type { PushOptions } from './push-options.ts'
import { heldRefs, zeroId } from './repositories.ts'
import { letGo } from './settle-strict.ts'
import * as store from './store.ts'

export interface StrictBeginning {
  readonly app: App
  readonly pushedBy: string
  readonly accepted: readonly AcceptedUpdate[]
  readonly options: PushOptions
  /** As they were given. */
  readonly given: readonly string[]
}

export interface BegunStrict {
  readonly push: store.UnfinishedPush
  readonly environments: readonly Environment[]
  readonly arrived: readonly ArrivedBranch[]
  readonly queued: readonly Queued[]
}

/**
 * A strict push moves no ref yet: its commits are held by refs of its own, then its refs are leased and its deploys queued in one
 * transaction. Throws `conflict` when another strict push holds one of the refs; then nothing is left of it.
 */
export async function beginStrictPush(deps: GitDependencies, beginning: StrictBeginning): Promise<BegunStrict> {
  const { app, pushedBy, accepted, given: options } = beginning
  const updates = accepted.map(({ ref, old, new: to }) => ({ ref, old, new: to }))
  const id = await store.insertPush(deps.db, { appId: app.id, pushedBy, updates, options })
  const push = { id, app: app.name, pushedBy, updates, options }
  faultPoint('push.noted')
  try {
    await hold(deps, push)
    const begun = await deps.db.transaction((tx) => leaseAndQueue(deps, tx, push.id, beginning))
    faultPoint('push.strict.queued')
    deps.deploys.wake()
    // They outlive the push, also one that is rejected: whoever looks at such a deploy wants its commit.
    await holdByDeploys(deps, { ...push, held: [] }, begun.queued)
    return { push, ...begun }
  } catch (error) {
    // Should the transaction have been committed although its answer was lost, the push is open and will be settled.
    if (await store.closePush(deps.db, id, 'lost')) await letGo(deps, push)
    throw error
  }
}

async function hold({ repositories }: GitDependencies, { id, app, updates }: store.UnfinishedPush): Promise<void> {
  const arriving = updates.filter((update) => update.new !== zeroId)
  if (arriving.length === 0) return
  await repositories.moveRefs(
    app,
    arriving.map((update, i) => ({ ref: `${heldRefs.ofPush(id)}${i}`, old: null, new: update.new })),
  )
}

async function leaseAndQueue(
  deps: GitDependencies,
  tx: Transaction,
  pushId: number,
  { app, pushedBy, accepted, options }: StrictBeginning,
): Promise<Omit<BegunStrict, 'push'>> {
  await store.lockPushes(tx, app.id)
  await lease(deps, tx, { app, pushId, updates: accepted })
  await deps.environments.hold(tx, app)
  const environments = await listAsAfter(deps, tx, app, accepted)
  const arrived = planDeploys(accepted, options, environments)
  const { forceRebuild } = options
  const queued = await requestAll(deps, tx, arrived, { requestedBy: pushedBy, pushId, forceRebuild, strict: true })
  if (!(await store.openStrictPush(tx, pushId, queued.length))) {
    throw new SlipwayError('conflict', 'This push was given up meanwhile.', { hint: 'Push again.' })
  }
  return { environments, arrived, queued }
}

/** From here on nobody else moves the refs, and they stand where the pusher saw them. */
async function lease(
  { repositories }: GitDependencies,
  tx: Transaction,
  { app, pushId, updates }: { app: App; pushId: number; updates: readonly AcceptedUpdate[] },
): Promise<void> {
  const refs = updates.map(({ ref }) => ref)
  const inTheWay = await store.takeLeases(tx, { appId: app.id, pushId, refs })
  if (inTheWay !== null) throw new SlipwayError('conflict', describeLease(inTheWay))
  const other = await store.findPushOnTheWay(tx, { appId: app.id, pushId, updates })
  if (other !== null) throw new SlipwayError('conflict', describeOther(other))
  const now = await repositories.listRefs(app.name, 'refs/')
  const moved = updates.find(({ ref, old }) => (now.get(ref) ?? zeroId) !== old)
  if (moved !== undefined) throw new SlipwayError('conflict', describeMoved(moved))
}

/** The environments as they will be when the branches are there: a first branch may become the default that they follow. */
async function listAsAfter(
  { environments }: GitDependencies,
  tx: Transaction,
  app: App,
  accepted: readonly AcceptedUpdate[],
): Promise<Environment[]> {
  const branches = accepted.flatMap((u) => (u.branch === null || u.new === zeroId ? [] : [u.branch]))
  await tx.query('savepoint as_after')
  await environments.noteArrivedBranches(tx, app, branches)
  const after = await environments.list(app.name, tx)
  await tx.query('rollback to savepoint as_after')
  return [...after]
}
