import type { DeployKind, DeployStep } from './deploy.ts'

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
  readonly step: DeployStep | null
  /** Its build waits for a slot: nothing of it has begun. */
  readonly waitsForSlot: boolean
  /** It is being cancelled or replaced already, or has failed and is being undone. */
  readonly isEnding: boolean
}

/** `running`: a newer push also takes the place of a running one that has not reached its release commands. */
export type Supersede = 'waiting' | 'running'

/** Only pushes are replaced: a person waits for everything else. Rollbacks go first. */
export function placeOf(kind: DeployKind): Pick<InLine, 'priority' | 'replaceable'> {
  return { priority: kind === 'rollback' ? 1 : 0, replaceable: kind === 'push' }
}

export interface Arrival {
  /** Waiting deploys that end now. */
  readonly replaced: readonly number[]
  /** Running ones that are told to end. */
  readonly interrupted: readonly number[]
}

/** What a new deploy does to those that are in its line already. */
export function planArrival(kind: DeployKind, line: readonly InLine[], supersede: Supersede): Arrival {
  if (!placeOf(kind).replaceable) return { replaced: [], interrupted: [] }
  const replaceable = line.filter((other) => other.replaceable)
  return {
    replaced: replaceable.filter((other) => other.state === 'waiting').map(({ id }) => id),
    interrupted: replaceable.filter((other) => mayInterrupt(other, supersede)).map(({ id }) => id),
  }
}

function mayInterrupt({ state, step, waitsForSlot, isEnding }: InLine, supersede: Supersede): boolean {
  if (state !== 'running' || isEnding) return false
  return waitsForSlot || (supersede === 'running' && (step === null || step === 'build'))
}

/** Those that come before, the running one first. */
export function findAhead(line: readonly InLine[], id: number): readonly InLine[] {
  const own = line.find((entry) => entry.id === id)
  if (own === undefined) return []
  return line.filter((other) => other.id !== id && comesBefore(other, own)).toSorted(byOrder)
}

function comesBefore(one: InLine, other: InLine): boolean {
  return byOrder(one, other) < 0
}

const stateOrder = { running: 0, waiting: 1 } as const

function byOrder(one: InLine, other: InLine): number {
  return stateOrder[one.state] - stateOrder[other.state] || other.priority - one.priority || one.id - other.id
}

/** What a waiting deploy waits for, in words; null when it is the next and nothing runs. */
export function describeWait(
  line: readonly InLine[],
  { id, environment }: { id: number; environment: string },
): string | null {
  const ahead = findAhead(line, id)
  const [first] = ahead
  if (first === undefined) return null
  const verb = first.state === 'running' ? 'end' : 'begin'
  return `Waiting for deploy ${first.id} of ${environment} to ${verb} (place ${ahead.length} in the line)`
}
