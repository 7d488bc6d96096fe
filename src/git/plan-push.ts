import type { Environment } from '../environments/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import { classifyRef } from './classify-refs.ts'
import type { PushOptions } from './push-options.ts'
import type { PushRequest, RefUpdate } from './push-request.ts'
import { zeroId } from './repositories.ts'

/*
 * What a push may do and what follows from it. Pure: the facts are looked up before.
 */

/** A ref that may move. */
export interface AcceptedUpdate extends RefUpdate {
  readonly kind: 'branch' | 'tag' | 'note'
  /** Its name without `refs/heads/`; null for tags and notes. */
  readonly branch: string | null
}

/** An update that was accepted before, as it is written down; none for what cannot be pushed. */
export function asAccepted(update: RefUpdate): AcceptedUpdate[] {
  const found = classifyRef(update.ref)
  if (found.kind === 'refused') return []
  return [{ ...update, kind: found.kind, branch: found.kind === 'branch' ? found.branch : null }]
}

export interface RefReport {
  readonly ref: string
  /** null: it moved. Else why not, in one line. */
  readonly refused: string | null
}

export interface PushPlan {
  readonly accepted: readonly AcceptedUpdate[]
  readonly refused: readonly { readonly ref: string; readonly refused: string }[]
}

/** The updates of which someone must find out whether they throw commits away: those of branches that are guarded. */
export function updatesToCompare(request: PushRequest, environments: readonly Environment[]): readonly RefUpdate[] {
  return request.updates.filter((update) => {
    if (update.old === zeroId || update.new === zeroId) return false
    const found = classifyRef(update.ref)
    return found.kind === 'branch' && guardOf(found.branch, environments) !== null
  })
}

export interface PushFacts {
  readonly app: string
  /** Empty when the app is new. */
  readonly environments: readonly Environment[]
  /** The names of its environments; of those it will get when it is new. */
  readonly names: readonly string[]
  /** The refs whose update is not a fast-forward; only those of `updatesToCompare` count. */
  readonly forced: ReadonlySet<string>
  /** Refs that wait for the end of a strict push, and what is told of it. */
  readonly leased: ReadonlyMap<string, string>
}

/** Throws what is wrong with the push as a whole: `not_found` or `bad_request`. */
export function planPush(request: PushRequest, options: PushOptions, facts: PushFacts): PushPlan {
  const accepted: AcceptedUpdate[] = []
  const refused: { ref: string; refused: string }[] = []
  for (const update of request.updates) {
    const found = classifyRef(update.ref)
    const branch = found.kind === 'branch' ? found.branch : null
    const reason = found.kind === 'refused' ? found.reason : refuseUpdate(update, branch, facts)
    if (reason === null && found.kind !== 'refused') accepted.push({ ...update, kind: found.kind, branch })
    else refused.push({ ref: update.ref, refused: reason ?? 'refused' })
  }
  if (accepted.length === 0) return { accepted, refused }
  assertTarget(accepted, options, facts)
  if ((request.atomic || options.strict) && refused.length > 0) {
    const kind = options.strict ? 'a strict' : 'an atomic'
    const others = accepted.map(({ ref }) => ({ ref, refused: `${kind} push moves all or nothing` }))
    return { accepted: [], refused: [...refused, ...others] }
  }
  return { accepted, refused }
}

export function refuseAll(request: PushRequest, reason: string): PushPlan {
  return { accepted: [], refused: request.updates.map(({ ref }) => ({ ref, refused: reason })) }
}

/** An environment that follows the branch and does not let commits be thrown away: live, unless its setting says otherwise. */
function guardOf(branch: string, environments: readonly Environment[]): Environment | null {
  return environments.find((e) => e.followedBranch === branch && !e.allowForcedPush) ?? null
}

function refuseUpdate(
  update: RefUpdate,
  branch: string | null,
  { app, environments, forced, leased }: PushFacts,
): string | null {
  if (update.old === zeroId && update.new === zeroId) return 'there is no such branch or tag to delete'
  const lease = leased.get(update.ref)
  if (lease !== undefined) return lease
  const guard = branch === null ? null : guardOf(branch, environments)
  if (guard === null) return null
  const setting = `slipway envs set ${guard.name} --allow-forced-push -a ${app}`
  if (update.new === zeroId) return `${guard.name} follows this branch; to delete it anyway: ${setting}`
  if (forced.has(update.ref))
    return `${guard.name} follows this branch and takes no forced push; to allow it: ${setting}`
  return null
}

/** The push option env=… */
function assertTarget(
  accepted: readonly AcceptedUpdate[],
  { environments: wanted }: PushOptions,
  { app, environments, names }: PushFacts,
): void {
  if (wanted.length === 0) return
  const missing = wanted.find((name) => !names.includes(name))
  if (missing !== undefined) {
    const message = `${app} has no environment ${quote(missing)}; it has: ${names.join(', ')}.`
    const hint =
      environments.length === 0
        ? 'It gets these with its first push.'
        : `To add it: slipway envs add ${missing} -a ${app}`
    throw new SlipwayError('not_found', message, { hint })
  }
  const branches = accepted.filter((update) => update.branch !== null && update.new !== zeroId)
  if (branches.length === 1) return
  throw new SlipwayError('bad_request', 'The push option env=… needs a push of exactly one branch.', {
    hint: `Push it alone: git push -o env=${wanted[0] ?? ''} divio <branch>`,
  })
}

/** A branch that arrived, with the environments that concern it. */
export interface ArrivedBranch {
  readonly branch: string
  readonly commit: string
  readonly followers: readonly Environment[]
  /** Where it is to be deployed now. */
  readonly deployTo: readonly Environment[]
  /** Where it would have been, but for `-o skip-deploy`. */
  readonly skipped: readonly Environment[]
  /** Where it would have been, were it not held. */
  readonly held: readonly Environment[]
  /** Where it would have been, were it not locked. */
  readonly locked: readonly Environment[]
}

/** @param environments as they are after the push, its default branch chosen. */
export function planDeploys(
  moved: readonly AcceptedUpdate[],
  options: PushOptions,
  all: readonly Environment[],
): readonly ArrivedBranch[] {
  const environments = all.filter((e) => e.state !== 'removing')
  return moved.flatMap((update) => {
    if (update.branch === null || update.new === zeroId) return []
    const followers = environments.filter((e) => e.followedBranch === update.branch)
    const isAsked = options.environments.length > 0
    const onPush = followers.filter((e) => e.deployOnPush)
    const wanted = isAsked
      ? environments.filter((e) => options.environments.includes(e.name))
      : onPush.filter((e) => !e.held)
    // A strict push is refused as a whole by whoever takes its deploys.
    const locked = options.skipDeploy || options.strict ? [] : wanted.filter(refusesPushes)
    return [
      {
        branch: update.branch,
        commit: update.new,
        followers,
        deployTo: options.skipDeploy ? [] : wanted.filter((e) => !locked.includes(e)),
        skipped: options.skipDeploy ? wanted : [],
        held: isAsked ? [] : onPush.filter((e) => e.held),
        locked,
      },
    ]
  })
}

/** Where deploys wait for the unlock a push waits, too. */
function refusesPushes({ lock }: Environment): boolean {
  return lock !== null && !lock.waits
}
