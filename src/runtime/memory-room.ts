import type { Clock } from '../kernel/clock.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { makeMutex } from '../kernel/mutex.ts'
import { floorOf, formatRoom, type Room, mostFloorBytes } from '../kernel/room.ts'

/*
 * Whether the host has the memory for one more instance. Limits of running instances may add up to more than the host has:
 * most sites use a fraction of theirs. What protects the host is what is really free: a start must leave a floor of it,
 * after what this instance will most likely use and what others that just started have not taken yet.
 */

export interface MemoryRoom {
  /**
   * Throws `unavailable` with figures. When it does not, the memory counts as taken for a minute, or until what it resolves to is
   * called: what was started has ended.
   */
  assertForStart(wanted: WantedMemory): Promise<() => void>
}

export interface WantedMemory {
  readonly limitBytes: number
  /** Those that serve now: what they really use, which is asked only when it matters, tells what the new one will. */
  readonly listServing: () => Promise<readonly string[]>
  /** The limits of all running instances together, for the message. */
  readonly readLimits: () => Promise<number>
}

export interface StartFigures {
  /** Free for use (MemAvailable) and all there is. */
  readonly memory: Room
  /** Of instances that started within the last minute. */
  readonly startingBytes: number
  readonly limitBytes: number
  readonly useBytes: number | null
  readonly floorBytes: number
}

/** What was let through and may not have taken its memory yet. */
interface Starting {
  bytes: number
  /** By what serves; else by the limit alone. */
  isKnown: boolean
  readonly untilMs: number
  readonly limitBytes: number
  /** What served when it was let through: one that came since may not have taken its memory either. */
  readonly serving: readonly string[]
}

/** After that what it uses is seen in what is free. */
const settleMs = 60_000

export function makeMemoryRoom(deps: {
  /** null: this host does not tell. */
  readonly measure: () => Promise<Room | null>
  /** What a container really uses; null when nobody knows. */
  readonly readUse: (containerId: string) => Promise<number | null>
  readonly floorBytes: number | null
  readonly clock: Clock
}): MemoryRoom {
  const rule = { setBytes: deps.floorBytes, mostBytes: mostFloorBytes.memory }
  const inTurn = makeMutex()
  const readMostUse = async (containerIds: readonly string[]): Promise<number | null> => {
    const uses = (await Promise.all(containerIds.map(deps.readUse))).filter((use) => use !== null)
    return uses.length === 0 ? null : Math.max(...uses)
  }
  let starting: Starting[] = []
  const sumStarting = (): number => starting.reduce((sum, { bytes }) => sum + bytes, 0)
  /** Half a limit is much more than most take: before somebody is refused for it, it is asked what they do. */
  const learn = async (): Promise<void> => {
    const ask = async (one: Starting): Promise<void> => {
      const { limitBytes, serving } = one
      one.bytes = Math.min(one.bytes, expectUse({ limitBytes, useBytes: await readMostUse(serving) }))
      one.isKnown = true
    }
    await Promise.all(starting.filter(({ isKnown }) => !isKnown).map(ask))
  }
  return {
    assertForStart: (wanted) =>
      inTurn(async () => {
        const memory = await deps.measure()
        if (memory === null) return () => undefined
        const nowMs = deps.clock.monotonicMs()
        starting = starting.filter(({ untilMs }) => untilMs > nowMs)
        const { limitBytes } = wanted
        let figures: StartFigures = {
          ...{ memory, limitBytes, useBytes: null, floorBytes: floorOf(memory, rule) },
          startingBytes: sumStarting(),
        }
        const serving = await wanted.listServing()
        // With room for all that it may ever take, nobody needs to be asked what it takes.
        const isKnown = !hasRoom(figures, limitBytes)
        if (isKnown) {
          figures = { ...figures, useBytes: await readMostUse(serving) }
          if (!hasRoom(figures, expectUse(figures))) await learn()
          figures = { ...figures, startingBytes: sumStarting() }
          if (!hasRoom(figures, expectUse(figures))) throw refused(figures, await wanted.readLimits())
        }
        const one = { bytes: expectUse(figures), isKnown, untilMs: nowMs + settleMs, limitBytes, serving }
        starting.push(one)
        return () => void (starting = starting.filter((other) => other !== one))
      }),
  }
}

/**
 * What the instance will most likely use: a quarter more than the one that serves now; half its limit when there is none.
 * Never more than its limit.
 */
export function expectUse({ limitBytes, useBytes }: Pick<StartFigures, 'limitBytes' | 'useBytes'>): number {
  return Math.min(limitBytes, Math.ceil(useBytes === null ? limitBytes / 2 : useBytes * 1.25))
}

export function hasRoom({ memory, startingBytes, floorBytes }: StartFigures, bytes: number): boolean {
  return memory.freeBytes - startingBytes - bytes >= floorBytes
}

function refused(figures: StartFigures, limitsBytes: number): SlipwayError {
  const { memory, startingBytes, limitBytes, useBytes, floorBytes } = figures
  const others = startingBytes > 0 ? `, of which ${formatRoom(startingBytes)} are for what has just started` : ''
  const needs =
    useBytes === null
      ? `half of its limit of ${formatRoom(limitBytes)}`
      : `${formatRoom(expectUse(figures))}, by what the running one uses`
  return new SlipwayError(
    'unavailable',
    `The server has too little memory to start it: ${formatRoom(memory.freeBytes)} of ${formatRoom(memory.sizeBytes)} are free${others}; it is expected to need ${needs}, and ${formatRoom(floorBytes)} must stay free. Running instances may take ${formatRoom(limitsBytes)} together.`,
    {
      hint: 'Lower resources.memory in slipway.yml, stop what is not needed, or have memory added; the limit is SLIPWAY_MEMORY_FLOOR_MB. Then deploy again.',
    },
  )
}
