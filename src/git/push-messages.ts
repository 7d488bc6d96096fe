import { type QueuedDeploy, renderLine } from '../deploys/index.ts'
import { describeLock, type Environment } from '../environments/index.ts'
import type { SlipwayError } from '../kernel/errors.ts'
import { plainLine } from '../kernel/terminal-text.ts'
import type { AcceptedUpdate, ArrivedBranch } from './plan-push.ts'
import { zeroId } from './repositories.ts'
import type { Lease } from './store.ts'
import type { Verdict } from './strict-verdict.ts'
import { shortCommit } from '../kernel/short-commit.ts'

/*
 * What a pusher is told beside the log of the deploys, line by line.
 */

const step = (text: string): string => renderLine({ kind: 'step', text: plainLine(text) })
const detail = (text: string): string => renderLine({ kind: 'detail', text: plainLine(text) })
const wrong = (text: string): string => renderLine({ kind: 'error', text: plainLine(text) })

const listed = 20

export function tellNewApp(app: string, environments: readonly Environment[]): string[] {
  return [
    step(`New app ${app}, with the environments ${environments.map((e) => e.name).join(' and ')}`),
    ...environments.map((e) => detail(`${e.name} follows ${e.followedBranch ?? 'nothing yet'}${onPush(e)}`)),
  ]
}

function onPush(e: Environment): string {
  return e.deployOnPush ? ' and deploys on push' : `; deploy it with: slipway deploy ${e.name} -a ${e.app}`
}

export function tellArrived(app: string, arrived: readonly ArrivedBranch[], isNew: boolean): string[] {
  const lines = arrived.slice(0, listed).flatMap((branch) => tellBranch(app, branch, isNew))
  const more = arrived.length - listed
  return more > 0 ? [...lines, detail(`… and ${more} more branches`)] : lines
}

function tellBranch(
  app: string,
  { branch, commit, followers, deployTo, skipped, held, locked }: ArrivedBranch,
  isNew: boolean,
): string[] {
  const received = step(`Received ${branch} (${shortCommit(commit)})`)
  if (skipped.length > 0) {
    return [
      received,
      ...skipped.flatMap((e) => [
        detail(`Not deployed to ${e.name}, as asked. Later: ${deployLine(app, e.name, commit)}`),
        machineLine('-', e.name, 'skipped'),
      ]),
    ]
  }
  const others = followers.filter((e) => ![deployTo, held, locked].some((list) => list.includes(e)))
  if (deployTo.length + locked.length === 0 && followers.length === 0) {
    return [
      received,
      detail('It is kept, but no environment follows this branch: nothing is deployed.'),
      detail(`To deploy it once:          ${deployLine(app, 'test', commit)}`),
      detail(
        `To deploy it on each push:  slipway envs set ${likelyFollower(branch)} --branch ${shellWord(branch)} -a ${app}`,
      ),
    ]
  }
  return [
    received,
    ...deployTo.map((e) => detail(followers.includes(e) ? `${e.name} follows it` : `To ${e.name}, as asked`)),
    ...held.flatMap((e) => tellHeld(app, e)),
    ...locked.flatMap((e) => tellLocked(e, commit)),
    // Of a new app it has just been said.
    ...(isNew
      ? []
      : others.map((e) =>
          detail(
            e.deployOnPush
              ? `${e.name} follows it too, but this push goes elsewhere, as asked`
              : `${e.name} follows it; deploy it with: slipway deploy ${e.name} -a ${app}`,
          ),
        )),
  ]
}

function tellHeld(app: string, { name }: Environment): string[] {
  return [
    detail(`${name} follows it, but is held: this push is not deployed there`),
    detail(`To deploy it:                slipway deploy ${name} -a ${app}`),
    detail(`To deploy on pushes again:   slipway envs set ${name} --no-hold -a ${app}`),
    machineLine('-', name, 'skipped'),
  ]
}

function tellLocked({ app, name, lock }: Environment, commit: string): string[] {
  if (lock === null) return []
  return [
    wrong(`${name} is ${describeLock(lock)}`),
    wrong(`This push is kept, but not deployed there. To unlock it: slipway unlock ${name} -a ${app}`),
    detail(`To deploy it after that:     ${deployLine(app, name, commit)}`),
    machineLine('-', name, 'skipped'),
  ]
}

/** Nobody is led to put a feature branch live: only a branch that is called like one is offered to the live environment. */
function likelyFollower(branch: string): string {
  return /^(?:main|master|live|prod|production|release|stable)$/.test(branch) ? 'live' : 'test'
}

function deployLine(app: string, environment: string, commit: string): string {
  return `slipway deploy ${environment} --commit ${shortCommit(commit)} -a ${app}`
}

/** Else nobody would hear what became of a tag that somebody pushed to have it deployed. */
export function tellTags(moved: readonly AcceptedUpdate[]): string[] {
  const tags = moved.filter((update) => update.kind === 'tag' && update.new !== zeroId)
  const [first] = tags
  if (first === undefined) return []
  const which = tags.length === 1 ? `the tag ${nameOfTag(first)}` : `${tags.length} tags`
  return [step(`Kept ${which}; tags deploy nothing, branches do`)]
}

/** References are kept as bytes. */
const nameOfTag = ({ ref }: AcceptedUpdate): string =>
  Buffer.from(ref, 'latin1').toString('utf8').slice('refs/tags/'.length)

/** Branches that were deleted although an environment follows them. */
export function tellDeleted(
  app: string,
  moved: readonly AcceptedUpdate[],
  environments: readonly Environment[],
): string[] {
  return moved.flatMap((update) => {
    if (update.new !== zeroId || update.branch === null) return []
    return environments
      .filter((e) => e.followedBranch === update.branch)
      .flatMap((e) => [
        wrong(
          `${e.name} follows ${update.branch ?? ''}, which is gone now. What runs goes on; nothing new is deployed.`,
        ),
        wrong(`To follow another branch: slipway envs set ${e.name} --branch <name> -a ${app}`),
      ])
  })
}

export interface Queued extends QueuedDeploy {
  readonly commit: string
  readonly environment: string
}

/** Its own log says whom it waits for; this one says whom it replaced. */
export function tellReplaced({ environment, deployId, replaced }: Queued): string[] {
  if (replaced.length === 0) return []
  const those = replaced.map((id) => `deploy ${id}`).join(', ')
  return [detail(`Deploy ${deployId} to ${environment} takes the place of ${those}`)]
}

export function tellNotWaiting({ environment, deployId, ahead }: Queued): string[] {
  const place = ahead === 0 ? '' : ` behind ${ahead} other${ahead === 1 ? '' : 's'}`
  return [
    detail(`Deploy ${deployId} to ${environment} is queued${place}. To watch it: slipway deploys log ${deployId} -f`),
    machineLine(deployId, environment, 'queued'),
  ]
}

function machineLine(deploy: number | '-', environment: string, status: 'queued' | 'skipped'): string {
  return renderLine({
    kind: 'machine',
    text: `slipway: deploy=${deploy} environment=${environment} release=- status=${status}`,
  })
}

/** Over the output of a build that several deploys of the push wait for. */
export function tellSharedBuild(sharers: readonly Queued[]): string[] {
  const [names, ids] = [sharers.map((one) => one.environment), sharers.map((one) => String(one.deployId))]
  return [step(`One build for ${inWords(names)} (deploys ${inWords(ids)}); what it prints is shown once`)]
}

export function tellShownBefore({ deployId }: Queued, environment: string): string[] {
  return [detail(`What it prints is shown above, with ${environment}; also in: slipway deploys log ${deployId}`)]
}

function inWords(all: readonly string[]): string {
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1) ?? ''}`
}

export function tellStrict(app: string, arrived: readonly ArrivedBranch[], queued: readonly Queued[]): string[] {
  if (queued.length === 0) return []
  const branches = inWords(arrived.map(({ branch }) => branch).slice(0, listed))
  const names = inWords(queued.map(({ environment }) => environment))
  const many = arrived.length > 1 ? 'move' : 'moves'
  return [
    detail(`Strict: ${branches} ${many} when ${names} ${queued.length > 1 ? 'are' : 'is'} live, and else not`),
    detail(`Should this connection end before that, see what became of it: slipway activity -a ${app}`),
  ]
}

/** The last words of a strict push. */
export function tellVerdict(app: string, arrived: readonly ArrivedBranch[], verdict: Verdict): string[] {
  if (verdict.accepted) {
    return arrived
      .slice(0, listed)
      .map(({ branch, commit }) => step(`Accepted: ${branch} is at ${shortCommit(commit)} now`))
  }
  const live = verdict.deploys.filter(({ state }) => state === 'live').map(({ environment }) => environment)
  return [
    wrong(`Rejected, ${verdict.reason}. No branch has moved.`),
    ...live.map((name) => wrong(`${name} serves this push. To go back: slipway rollback ${name} -a ${app}`)),
  ]
}

/** Why nobody else may move a ref now, in one line. */
export function describeLease({ pushId, pushedBy, since }: Lease): string {
  const at = `${since.toISOString().slice(0, 16).replace('T', ' ')} UTC`
  return `a strict push of ${pushedBy} goes first (push ${pushId}, since ${at}); try again when its deploys have ended`
}

/** Another push was let in before a strict one of the same ref. */
export function describeOther({ pushedBy, ref }: { pushedBy: string; ref: string }): string {
  return `a push of ${pushedBy} moves ${ref} at this moment; fetch it, then push again`
}

export function describeMoved({ ref }: { ref: string }): string {
  return `${ref} was moved while this push was on its way; fetch it, then push again`
}

/** The log cannot be followed any more, but the deploy goes on. */
export function tellLostSight(queued: readonly Queued[]): string[] {
  return queued.flatMap(({ deployId, environment }) => [
    wrong(
      `Slipway cannot show the deploy to ${environment} any more; it goes on. To watch it: slipway deploys log ${deployId} -f`,
    ),
  ])
}

export function tellNotQueued(app: string, arrived: readonly AcceptedUpdate[]): string[] {
  return [
    wrong('The commits are kept, but their deploys could not be queued; Slipway tries again when it is started anew.'),
    ...arrived
      .filter((update) => update.branch !== null && update.new !== zeroId)
      .slice(0, listed)
      .map((update) => wrong(`To deploy ${update.branch ?? ''} now: ${deployLine(app, 'test', update.new)}`)),
  ]
}

export function tellRefusal(error: Pick<SlipwayError, 'message' | 'hint'>): string[] {
  return [wrong(error.message), ...(error.hint === undefined ? [] : [wrong(error.hint)])]
}

/** What a shell reads as this text and nothing else: branches may be named `$(reboot)`, and printed commands are copied. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9._/@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
