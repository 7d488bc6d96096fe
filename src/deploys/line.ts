import { describeLock, type EnvironmentLock, type Supersede } from '../environments/index.ts'
import { type Deploy, type DeployKind, type DeployStep, hasEnded, isOfSameRelease } from './deploy.ts'

/*
 * The line of an environment: what comes first, and what may take whose place. Pure: who asks holds the line meanwhile.
 */

/** A deploy of the environment that has not ended. */
export interface InLine {
  readonly id: number
  readonly state: 'waiting' | 'running'
  readonly priority: number
  /** A newer push may take its place, as long as that costs nothing that cannot be taken back. */
  readonly replaceable: boolean
  /** Whoever asked for it pushed, strictly or not. */
  readonly isPush: boolean
  /** Of a strict push: it is at its checks or has passed them, and the others of that push have not. */
  readonly awaitsOthers: boolean
  readonly step: DeployStep | null
  /** Its build waits for a slot: nothing of it has begun. */
  readonly waitsForSlot: boolean
  /** It is being cancelled or replaced already, or has failed and is being undone. */
  readonly isEnding: boolean
  /** It waits for the environment's unlock. */
  readonly isHeld: boolean
}

type Ordered = Pick<InLine, 'id' | 'state' | 'priority' | 'isHeld'>

/** Only pushes are replaced, and not strict ones: a person waits for everything else. Rollbacks go first. */
export function placeOf(kind: DeployKind, strict = false): Pick<InLine, 'priority' | 'replaceable'> {
  return { priority: kind === 'rollback' ? 1 : 0, replaceable: kind === 'push' && !strict }
}

/**
 * Whether a lock keeps such a deploy from beginning. Those that start the same release anew bring nothing new, and a site that is
 * locked has to be kept up: they go on, and so does one by which Slipway goes back by itself.
 */
export function isHeldBy(
  lock: EnvironmentLock | null,
  { kind, reverts = null }: { readonly kind: DeployKind; readonly reverts?: number | null | undefined },
): boolean {
  if (lock === null || isOfSameRelease(kind)) return false
  return kind !== 'rollback' || !(lock.allowsRollbacks || reverts !== null)
}

export interface Arrival {
  /** Waiting deploys that end now. */
  readonly replaced: readonly number[]
  /** Running ones that are told to end. */
  readonly interrupted: readonly number[]
}

interface Newcomer {
  readonly kind: DeployKind
  readonly strict?: boolean | undefined
  readonly holds?: boolean | undefined
}

/**
 * What a new deploy does to those that are in its line already. One of a strict push, which may be rejected as a whole, takes
 * nobody's place. One that holds pushes takes that of every push that can still be ended, strict ones too: it would come live
 * behind it, or, where it waits for others, keep it waiting as long.
 */
export function planArrival(
  { kind, strict = false, holds = false }: Newcomer,
  line: readonly InLine[],
  supersede: Supersede,
): Arrival {
  if (!holds && !placeOf(kind, strict).replaceable) return { replaced: [], interrupted: [] }
  const others = line.filter((other) => (holds ? other.isPush : other.replaceable))
  const isEnded = (other: InLine): boolean =>
    mayInterrupt(other, holds ? 'running' : supersede) || (holds && other.awaitsOthers && !other.isEnding)
  return {
    replaced: others.filter((other) => other.state === 'waiting').map(({ id }) => id),
    interrupted: others.filter(isEnded).map(({ id }) => id),
  }
}

function mayInterrupt({ state, step, waitsForSlot, isEnding }: InLine, supersede: Supersede): boolean {
  if (state !== 'running' || isEnding) return false
  return waitsForSlot || (supersede === 'running' && (step === null || step === 'build'))
}

/** Those that come before, the running one first. What waits for the unlock comes after all that need not. */
export function findAhead<E extends Ordered>(line: readonly E[], id: number): readonly E[] {
  const own = line.find((entry) => entry.id === id)
  if (own === undefined) return []
  return line.filter((other) => other.id !== id && comesBefore(other, own)).toSorted(byOrder)
}

/** How many deploys come before a waiting one, of those that `others` holds of its environment; null when it has begun. */
export function countAhead(
  deploy: Deploy,
  others: readonly Deploy[],
  lock: EnvironmentLock | null = null,
): number | null {
  if (deploy.state !== 'waiting') return null
  const open = others.filter((other) => !hasEnded(other.state))
  const line = open.map((one) => ({
    ...{ id: one.id, state: one.state as 'waiting' | 'running', ...placeOf(one.kind) },
    isHeld: one.state === 'waiting' && isHeldBy(lock, one),
  }))
  return findAhead(line, deploy.id).length
}

function comesBefore(one: Ordered, other: Ordered): boolean {
  return byOrder(one, other) < 0
}

const stateOrder = { running: 0, waiting: 1 } as const

function byOrder(one: Ordered, other: Ordered): number {
  return (
    stateOrder[one.state] - stateOrder[other.state] ||
    Number(one.isHeld) - Number(other.isHeld) ||
    other.priority - one.priority ||
    one.id - other.id
  )
}

/** What a waiting deploy waits for, in words; null when it is the next and nothing runs. */
export function describeWait(
  line: readonly InLine[],
  { id, environment, lock }: { id: number; environment: string; lock: EnvironmentLock | null },
): string | null {
  const own = line.find((entry) => entry.id === id)
  if (own?.isHeld === true && lock !== null) return `Waiting for the unlock: ${environment} is ${describeLock(lock)}`
  const ahead = findAhead(line, id)
  const [first] = ahead
  if (first === undefined) return null
  const verb = first.state === 'running' ? 'end' : 'begin'
  return `Waiting for deploy ${first.id} of ${environment} to ${verb} (place ${ahead.length} in the line)`
}
