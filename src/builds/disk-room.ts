import { SlipwayError } from '../kernel/errors.ts'
import { floorOf, formatRoom, type Room, mostFloorBytes } from '../kernel/room.ts'

/** Somewhere a build or a push writes. */
export interface DiskPlace extends Room {
  /** As people are told: `the engine’s data folder /var/lib/docker`. */
  readonly name: string
}

/** Whether there is room to work. What cannot be measured is taken for room enough: then the work itself fails in words. */
export interface DiskRoom {
  /** Throws `unavailable` with figures when a build must not begin; room is made before it does. */
  assertForBuild(onNote: (text: string) => void, signal: AbortSignal): Promise<void>
  /** Throws `unavailable` when not even a push is taken in: far later than a build. `bytes` is what it will need, as far as known. */
  assertForPush(bytes: number): Promise<void>
}

/** Commits are small, and refusing them loses more than it saves. */
const pushShare = 10

export function makeDiskRoom(deps: {
  /** All places that a build writes to; each time anew. */
  readonly measure: () => Promise<readonly DiskPlace[]>
  readonly measureData: () => Promise<DiskPlace | null>
  /** null: chosen by the size of the disk. */
  readonly floorBytes: number | null
  /** Removes what nobody needs any more. Whether it helped is measured. */
  readonly makeRoom: (signal: AbortSignal) => Promise<void>
}): DiskRoom {
  const rule = { setBytes: deps.floorBytes, mostBytes: mostFloorBytes.disk }
  return {
    async assertForBuild(onNote, signal) {
      if (findShort(await deps.measure(), rule) === null) return
      onNote('The disk is nearly full: removing what is not needed any more')
      await deps.makeRoom(signal)
      const short = findShort(await deps.measure(), rule)
      if (short !== null) throw buildRefused(short)
    },
    async assertForPush(bytes) {
      const place = await deps.measureData()
      if (place === null) return
      const floorBytes = Math.floor(floorOf(place, rule) / pushShare)
      if (place.freeBytes - bytes < floorBytes) throw pushRefused(place, floorBytes, bytes)
    },
  }
}

export interface ShortPlace {
  readonly place: DiskPlace
  readonly floorBytes: number
}

/** The place that is furthest below its floor; null when all have room. */
export function findShort(
  places: readonly DiskPlace[],
  rule: { readonly setBytes: number | null; readonly mostBytes: number },
): ShortPlace | null {
  const short = places
    .map((place) => ({ place, floorBytes: floorOf(place, rule) }))
    .filter(({ place, floorBytes }) => place.freeBytes < floorBytes)
  return short.toSorted((a, b) => missing(b) - missing(a))[0] ?? null
}

const missing = ({ place, floorBytes }: ShortPlace): number => floorBytes - place.freeBytes

function buildRefused({ place, floorBytes }: ShortPlace): SlipwayError {
  const free = `${formatRoom(place.freeBytes)} of ${formatRoom(place.sizeBytes)}`
  return new SlipwayError(
    'unavailable',
    `There is too little room on the server’s disk to build: ${place.name} has ${free} free, and builds begin with ${formatRoom(floorBytes)} or more.`,
    {
      hint: 'What Slipway does not need any more is removed already. The operator can look with docker system df and du, keep fewer releases (SLIPWAY_KEEP_RELEASES), or set another limit (SLIPWAY_DISK_FLOOR_MB). Then deploy again.',
    },
  )
}

function pushRefused(place: DiskPlace, floorBytes: number, bytes: number): SlipwayError {
  const size = bytes >= 1024 ** 2 ? ` for ${formatRoom(bytes)}` : ''
  return new SlipwayError(
    'unavailable',
    `There is too little room on the server’s disk${size}: ${formatRoom(place.freeBytes)} are free, and ${formatRoom(floorBytes)} are kept for the sites that run.`,
    { hint: 'Nothing was changed. Have room made on the server, then push again.' },
  )
}
