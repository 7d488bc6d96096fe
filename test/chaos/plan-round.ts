import { makeRandom, type Random } from './random.ts'

/** What is done to a part of the machine, and for how long until it is mended. */
export interface Fault {
  readonly atMs: number
  readonly kind: FaultKind
  /** Between the fault and the mending. */
  readonly forMs: number
}

export interface PlannedPush {
  readonly atMs: number
  /** Which of the apps. */
  readonly app: number
  readonly kind: PushKind
}

export interface Round {
  readonly number: number
  readonly faults: readonly Fault[]
  readonly pushes: readonly PlannedPush[]
}

export const faultKinds = [
  'kill slipway',
  'stop slipway',
  'freeze slipway',
  'kill proxy',
  'freeze proxy',
  'kill database',
  'stop database',
  'freeze database',
  'kill engine',
  'stop engine',
  'freeze engine',
  'cut engine connections',
  'slow engine',
  'fill disk',
] as const
export type FaultKind = (typeof faultKinds)[number]

const pushKinds = ['page', 'page', 'release command', 'slow start', 'broken build', 'broken start'] as const
export type PushKind = (typeof pushKinds)[number]

/** Pushes and deploys take about this long. */
const spanMs = 6_000

/** A seed and a number make the same round, whatever the rounds before it were. */
export function planRound(seed: number, number: number, apps: number): Round {
  const random = makeRandom(Math.imul(seed, 0x9e3779b1) + number * 7919)
  const pushes = Array.from({ length: random.between(2, 4) }, () => ({
    atMs: random.between(0, 2_500),
    app: random.between(0, apps - 1),
    kind: random.pick(pushKinds),
  }))
  const faults = Array.from({ length: random.between(1, 3) }, () => planFault(random))
  return { number, pushes: inOrder(pushes), faults: inOrder(faults) }
}

function planFault(random: Random): Fault {
  return { atMs: random.between(200, spanMs), kind: random.pick(faultKinds), forMs: random.between(100, 4_000) }
}

const inOrder = <T extends { readonly atMs: number }>(list: readonly T[]): T[] =>
  list.toSorted((a, b) => a.atMs - b.atMs)

export function describeRound({ faults, pushes }: Round): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1)
  const said = [
    ...pushes.map(({ atMs, app, kind }) => ({ atMs, text: `push app-${app} (${kind})` })),
    ...faults.map(({ atMs, kind, forMs }) => ({ atMs, text: `${kind} for ${seconds(forMs)} s` })),
  ]
  return inOrder(said)
    .map(({ atMs, text }) => `${seconds(atMs)} s ${text}`)
    .join(', ')
}
