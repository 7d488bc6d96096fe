import { describeLock, type EnvironmentLock, type EnvironmentState } from '../environments/index.ts'

/*
 * What is to be said of an environment. Pure: everything was read before.
 */

/** What is known of an environment. */
export interface StatusFacts {
  readonly wanted: EnvironmentState
  readonly lock: EnvironmentLock | null
  /** Visitors are told that the site is being worked on. */
  readonly isMaintained: boolean
  /** What its route points to; null when nothing has gone live yet. */
  readonly live: {
    readonly commit: string
    /** The branch that it was deployed from; null for a commit by itself. */
    readonly branch: string | null
    readonly instances: number
    /** Of those, how many take no requests now. */
    readonly down: number
    readonly isCrashLoop: boolean
    /** When a value was revoked that an instance was started with; null: none was. */
    readonly revokedAt: Date | null
  } | null
  /** The deploy that ended last. */
  readonly lastDeploy: {
    readonly state: 'live' | 'reverted' | 'failed' | 'cancelled' | 'superseded'
    readonly finishedAt: Date
    readonly commandsRan: boolean
  } | null
  readonly deploying: { readonly id: number; readonly step: string | null; readonly since: Date } | null
  /** Earlier releases that finish what they have. */
  readonly draining: number
  /** So do instances of the live release, from before a restart. */
  readonly drainsItself: boolean
  /** What served before and is kept as it was, for a way back. */
  readonly warm: { readonly release: number; readonly until: Date } | null
  /** The branch it follows, and its newest commit; null where there is none. */
  readonly branch: string | null
  readonly head: string | null
  /** Between what is live and the branch's head; null when nobody has counted them yet. */
  readonly commits: { readonly undeployed: number; readonly leftOut: number } | null
  /** What was changed since the live release was made and comes into force with the next deploy. */
  readonly unapplied: readonly UnappliedChange[]
}

export interface UnappliedChange {
  readonly what: 'branch' | 'variables' | 'processes'
  /** Names of variables or processes; the old and the new branch. Never values. */
  readonly names: readonly string[]
}

export interface Summary {
  readonly state: Condition
  /** Undeployed commits; null when unknown. */
  readonly undeployed: number | null
  readonly messages: readonly Message[]
}

/** How an environment is; what somebody wants it to be is its state. */
export type Condition = 'not-deployed' | 'running' | 'partly' | 'crashed' | 'stopped' | 'removing'

export interface Message {
  readonly code: MessageCode
  readonly text: string
}

export type MessageCode =
  | 'not-deployed'
  | 'deploying'
  | 'succeeded'
  | 'failed'
  | 'ended'
  | 'commands-ran'
  | 'all-deployed'
  | 'undeployed'
  | 'unapplied'
  | 'rewritten'
  | 'no-branch'
  | 'draining'
  | 'warm'
  | 'locked'
  | 'maintenance'
  | 'crashed'
  | 'revoked'
  | 'stopped'
  | 'removing'

/** What was changed since the live release was made. */
export function listUnapplied(
  { live, branch }: Pick<StatusFacts, 'live' | 'branch'>,
  changed: { variables: readonly string[]; processes: readonly string[] },
): UnappliedChange[] {
  if (live === null) return []
  const isMoved = live.branch !== null && branch !== null && live.branch !== branch
  return [
    ...(isMoved ? [{ what: 'branch' as const, names: [live.branch ?? '', branch ?? ''] }] : []),
    ...(changed.variables.length > 0 ? [{ what: 'variables' as const, names: changed.variables }] : []),
    ...(changed.processes.length > 0 ? [{ what: 'processes' as const, names: changed.processes }] : []),
  ]
}

/** What is to be said, the most pressing first. */
export function summarize(facts: StatusFacts): Summary {
  const messages = [
    ...tellState(facts),
    ...tellRevoked(facts),
    ...tellMaintenance(facts),
    ...tellLock(facts),
    ...tellDeploying(facts),
    ...tellLastDeploy(facts),
    ...tellProgress(facts),
    ...tellDraining(facts),
    ...tellWarm(facts),
  ]
  return { state: stateOf(facts), undeployed: undeployedOf(facts), messages }
}

function stateOf({ wanted, live }: StatusFacts): Condition {
  if (wanted !== 'active') return wanted
  if (live === null) return 'not-deployed'
  if (live.instances > 0 && live.down >= live.instances) return 'crashed'
  return live.down > 0 ? 'partly' : 'running'
}

function tellState({ wanted, live }: StatusFacts): Message[] {
  if (wanted === 'removing') return [{ code: 'removing', text: 'Being removed' }]
  if (wanted === 'stopped') return [{ code: 'stopped', text: 'Stopped' }]
  if (live === null) return [{ code: 'not-deployed', text: 'Not deployed yet' }]
  if (live.down === 0 && !live.isCrashLoop) return []
  const how = live.isCrashLoop ? 'Ends again and again' : 'Crashed'
  return [{ code: 'crashed', text: `${how}: ${live.down} of ${count(live.instances, 'instance')} down` }]
}

/** An instance that goes on has what it was started with: only another one is without it. */
function tellRevoked({ live }: StatusFacts): Message[] {
  if (live === null || live.revokedAt === null) return []
  const text = `Still runs with a value that was revoked at ${iso(live.revokedAt)}: restart it, or deploy it when builds get that variable`
  return [{ code: 'revoked', text }]
}

function tellMaintenance({ isMaintained }: StatusFacts): Message[] {
  return isMaintained ? [{ code: 'maintenance', text: 'Maintenance page: visitors do not see the site' }] : []
}

function tellLock({ lock }: StatusFacts): Message[] {
  if (lock === null) return []
  const what = describeLock(lock)
  return [{ code: 'locked', text: what.charAt(0).toUpperCase() + what.slice(1) }]
}

function tellDeploying({ deploying }: StatusFacts): Message[] {
  if (deploying === null) return []
  const step = deploying.step === null ? '' : ` (${deploying.step})`
  return [{ code: 'deploying', text: `Deploying: deploy ${deploying.id}${step} since ${iso(deploying.since)}` }]
}

function tellLastDeploy({ lastDeploy }: StatusFacts): Message[] {
  if (lastDeploy === null) return []
  const { state, finishedAt, commandsRan } = lastDeploy
  const at = iso(finishedAt)
  if (state === 'live') return [{ code: 'succeeded', text: `Last deployment succeeded at ${at}` }]
  const message: Message =
    state === 'failed'
      ? { code: 'failed', text: `Last deployment failed at ${at}` }
      : { code: 'ended', text: `Last deployment was ${state} at ${at}` }
  if (!commandsRan) return [message]
  return [
    message,
    { code: 'commands-ran', text: 'Migrations ran, not swapped: release commands ran, the old release serves' },
  ]
}

/** How far the branch and the settings are ahead of what is live. */
function tellProgress(facts: StatusFacts): Message[] {
  const { live, branch, head, commits, unapplied } = facts
  if (head === null) {
    const text = branch === null ? 'No branch yet: nothing was pushed' : `There is no branch ${branch} (yet)`
    return [{ code: 'no-branch', text }]
  }
  if (live === null) return []
  const undeployed = undeployedOf(facts)
  const changed = unapplied.length > 0 ? 'unapplied changes' : null
  const messages: Message[] = []
  if (undeployed !== null && undeployed > 0) {
    const text = [count(undeployed, 'undeployed commit'), changed].filter((part) => part !== null).join(' and ')
    messages.push({ code: 'undeployed', text })
  } else {
    if (undeployed === 0 && !isRewritten(commits)) messages.push({ code: 'all-deployed', text: 'All commits deployed' })
    if (changed !== null) messages.push({ code: 'unapplied', text: 'Unapplied changes' })
  }
  if (isRewritten(commits)) {
    const text = `${branch ?? 'The branch'} does not hold what is live: ${count(commits.leftOut, 'deployed commit')} not in it`
    messages.push({ code: 'rewritten', text })
  }
  return messages
}

function tellDraining({ draining, drainsItself }: StatusFacts): Message[] {
  const who = [
    ...(draining === 0 ? [] : [count(draining, 'earlier release')]),
    ...(drainsItself ? ['earlier instances of this release'] : []),
  ].join(' and ')
  if (who === '') return []
  const verb = draining === 1 && !drainsItself ? 'finishes' : 'finish'
  return [{ code: 'draining', text: capital(`${who} still ${verb} what came before the swap`) }]
}

function tellWarm({ warm }: StatusFacts): Message[] {
  if (warm === null) return []
  return [
    { code: 'warm', text: `v${warm.release} is kept warm until ${iso(warm.until)}: going back to it starts nothing` },
  ]
}

/** The same commit needs no counting. */
function undeployedOf({ live, head, commits }: StatusFacts): number | null {
  if (live === null || head === null) return null
  return live.commit === head ? 0 : (commits?.undeployed ?? null)
}

function isRewritten(commits: StatusFacts['commits']): commits is { undeployed: number; leftOut: number } {
  return commits !== null && commits.leftOut > 0
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`
const iso = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`
