import { assertMay } from '../accounts/index.ts'
import { type App, firstEnvironments } from '../environments/index.ts'
import { actAs } from '../kernel/actor.ts'
import { asSlipwayError, SlipwayError } from '../kernel/errors.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { beginStrictPush, type BegunStrict } from './begin-strict.ts'
import type { GitDependencies } from './dependencies.ts'
import { type Finished, finishPush, type MovedPush } from './finish-push.ts'
import { followDeploys } from './follow-deploys.ts'
import { moveAccepted, type Moved } from './move-refs.ts'
import { assertStays, type OpenPush } from './open-pushes.ts'
import {
  type AcceptedUpdate,
  planPush,
  refuseAll,
  type PushPlan,
  type RefReport,
  updatesToCompare,
} from './plan-push.ts'
import * as say from './push-messages.ts'
import { parsePushOptions, type PushOptions } from './push-options.ts'
import type { PushRequest } from './push-request.ts'
import { recoverPush } from './recover-pushes.ts'
import { settleStrictPush } from './settle-strict.ts'
import * as store from './store.ts'

/** Where the answer goes. */
export interface PushAnswer {
  /** A `remote:` line; resolves when the way to the client has room for more. */
  line(text: string): Promise<void>
  /**
   * Tells git which refs moved. Called once, before any deploy is followed: a lost connection then changes nothing any more. Of a
   * strict push it is told when they have ended.
   */
  report(reports: readonly RefReport[]): void
  /** Called before a strict push is begun: from then on it goes on even if nothing is reported. */
  undecided(): void
  /** Fires when nobody reads on. */
  readonly gone: AbortSignal
}

/**
 * A push whose objects have arrived, as a list of steps: decide, note it down, move the refs, queue the deploys, answer,
 * follow. Every step before `report` may refuse; none after it can. A strict push leaves its refs where they are, and moves them
 * when its deploys are live (settle-strict.ts).
 */
export async function receivePush(
  deps: GitDependencies,
  push: OpenPush,
  request: PushRequest,
  answer: PushAnswer,
): Promise<void> {
  let received: Received
  try {
    const { name, origin = null } = push.principal
    received = await actAs({ name, origin }, () => takeIn(deps, push, request, answer))
  } catch (thrown) {
    const error = asSlipwayError(thrown)
    if (error.code === 'internal') deps.logger.error('a push could not be received', { app: push.app, error: thrown })
    await tell(answer, say.tellRefusal(error))
    answer.report(refuseAll(request, oneLine(error.message)).refused)
    return
  }
  if (received.strict !== null) return followStrict(deps, push.app, { received, strict: received.strict }, answer)
  answer.report(received.reports)
  await tell(answer, received.lines)
  if (received.options.nowait) await tell(answer, received.queued.flatMap(say.tellNotWaiting))
  else await followDeploys(deps, received.queued, answer)
  await received.handedOver
}

async function followStrict(
  deps: GitDependencies,
  app: string,
  { received, strict }: { received: Received; strict: BegunStrict },
  answer: PushAnswer,
): Promise<void> {
  // Whoever reads: it is settled when its deploys have ended.
  const settling = settleStrictPush(deps, strict.push)
  await tell(answer, received.lines)
  await followDeploys(deps, received.queued, answer)
  const verdict = await settling
  // Slipway stops: the next start settles it.
  if (verdict === null) return
  await tell(answer, say.tellVerdict(app, strict.arrived, verdict))
  const refused = verdict.accepted ? null : verdict.reason
  answer.report([...strict.push.updates.map(({ ref }) => ({ ref, refused })), ...received.reports])
}

interface Received {
  readonly reports: readonly RefReport[]
  readonly lines: readonly string[]
  readonly queued: readonly say.Queued[]
  readonly options: PushOptions
  readonly handedOver: Promise<void>
  /** Null: the push is not strict, or nothing of it was accepted. */
  readonly strict: BegunStrict | null
}

async function takeIn(
  deps: GitDependencies,
  push: OpenPush,
  request: PushRequest,
  answer: Pick<PushAnswer, 'undecided'>,
): Promise<Received> {
  const options = parsePushOptions(request.options)
  const plan = await decide(deps, push, request, options)
  const nothing: Received = {
    ...{ reports: plan.refused, lines: [], queued: [], options, handedOver: Promise.resolve() },
    strict: null,
  }
  if (plan.accepted.length === 0) return nothing

  const there = await deps.environments.findApp(push.app)
  const { app, created } =
    there === null ? await deps.environments.ensureApp(push.app, push.principal.name) : { app: there, created: false }
  assertStays(app)
  if (options.strict) {
    const { accepted } = plan
    const pushedBy = push.principal.name
    answer.undecided()
    const strict = await beginStrictPush(deps, { app, pushedBy, accepted, options, given: request.options })
    const { arrived, queued } = strict
    const lines = [...linesFor(app.name, created, accepted, strict), ...say.tellStrict(app.name, arrived, queued)]
    return { ...nothing, lines, queued, strict }
  }
  const { pushId, moved, lost, held } = await moveNoted(deps, { app, push, request, plan })
  const reports = [...moved.map(({ ref }) => ({ ref, refused: null })), ...lost, ...plan.refused]
  if (moved.length === 0) {
    await store.closePush(deps.db, pushId, 'lost')
    return { ...nothing, reports }
  }
  const journal = { id: pushId, app: app.name, pushedBy: push.principal.name, options, moved, held }
  const finished = await finishWithPatience(deps, journal)
  if (finished === null) return { ...nothing, reports, lines: say.tellNotQueued(app.name, moved) }
  const { queued } = finished
  const lines = linesFor(app.name, created, moved, finished)
  return { ...nothing, reports, lines, queued, handedOver: finished.handedOver }
}

/** Notes the push down, then moves its refs; should that break off, the note is cleared up before the error goes on. */
async function moveNoted(
  deps: GitDependencies,
  { app, push, request, plan }: { app: App; push: OpenPush; request: PushRequest; plan: PushPlan },
): Promise<Moved & { pushId: number }> {
  const pushedBy = push.principal.name
  const updates = plan.accepted.map(({ ref, old, new: to }) => ({ ref, old, new: to }))
  const pushId = await deps.db.transaction(async (tx) => {
    await store.lockPushes(tx, app.id)
    // A strict push may have leased one since that was decided; from here on it sees this one.
    const lease = (await store.listLeases(tx, app.name)).find(({ ref }) => updates.some((update) => update.ref === ref))
    if (lease !== undefined) throw new SlipwayError('conflict', say.describeLease(lease))
    return store.insertPush(tx, { appId: app.id, pushedBy, updates, options: request.options })
  })
  faultPoint('push.noted')
  try {
    const moved = await moveAccepted(deps, { app: app.name, pushId, atomic: request.atomic }, plan.accepted)
    faultPoint('push.moved')
    return { ...moved, pushId }
  } catch (error) {
    await recoverPush(deps, { id: pushId, app: app.name, pushedBy, updates, options: request.options })
    throw error
  }
}

async function decide(
  deps: GitDependencies,
  push: OpenPush,
  request: PushRequest,
  options: PushOptions,
): Promise<PushPlan> {
  const there = (await deps.environments.list(push.app)).filter((e) => e.state !== 'removing')
  const names = (there.length > 0 ? there : firstEnvironments).map((e) => e.name)
  for (const name of options.environments) assertMay(push.principal, 'deploys.request', `${push.app}/${name}`)
  const forced = new Set<string>()
  for (const update of updatesToCompare(request, there)) {
    if (!(await deps.repositories.isAncestor(push.app, update.old, update.new))) forced.add(update.ref)
  }
  const leases = await store.listLeases(deps.db, push.app)
  const leased = new Map(leases.map((lease) => [lease.ref, say.describeLease(lease)]))
  return planPush(request, options, { app: push.app, environments: there, names, forced, leased })
}

/** The refs have moved: a database that is away for a moment must not lose their deploys. */
async function finishWithPatience(deps: GitDependencies, journal: MovedPush): Promise<Finished | null> {
  for (const waitMs of [200, 1_000, 3_000, null]) {
    try {
      return await finishPush(deps, journal)
    } catch (error) {
      deps.logger.error('the deploys of a push could not be queued', { app: journal.app, pushId: journal.id, error })
      if (waitMs === null) return null
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
  return null
}

function linesFor(
  app: string,
  created: boolean,
  moved: readonly AcceptedUpdate[],
  finished: Omit<Finished, 'handedOver'>,
): string[] {
  return [
    ...(created ? say.tellNewApp(app, finished.environments) : []),
    ...say.tellArrived(app, finished.arrived, created),
    ...say.tellTags(moved),
    ...say.tellDeleted(app, moved, finished.environments),
    ...finished.queued.flatMap(say.tellReplaced),
  ]
}

async function tell(answer: PushAnswer, lines: readonly string[]): Promise<void> {
  for (const line of lines) await answer.line(line)
}

function oneLine(text: string): string {
  return text.replace(/\.$/, '')
}
