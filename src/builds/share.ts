import { SlipwayError } from '../kernel/errors.ts'
import { makeOutput, type Output } from './output.ts'
import type { Build } from './store.ts'

/** A deploy that waits for a build. */
export interface Waiter {
  readonly deployId: number
  /** What the build prints: foreign text. All of it, from the first line that is kept. */
  readonly onLine: (line: string) => void
  /** Resolves when more of it may come. What it throws ends this deploy's waiting, nobody else's. */
  readonly room: () => Promise<void>
  /** What Slipway has to say meanwhile. */
  readonly onNote: (text: string) => void
  /** Where the build stands in its line, whenever that changes; null once it waits no more. */
  readonly onPlace: (text: string | null) => void
  /** Fires with a `cancelled` error when the deploy is to end; anything else leaves the build to whoever goes on with it. */
  readonly signal: AbortSignal
}

/** A build while this server makes it, and the deploys that wait for it. */
export interface Share {
  readonly output: Output
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal
  /** Tells all who wait, and those who come later. */
  say(text: string): void
  /** Tells all who wait, and those who come later until it is null: where the build stands in its line. */
  sayPlace(text: string | null): void
}

export interface OpenShare {
  /** Null as long as it goes on; else resolves when it has ended and what it had on the engine is gone. */
  ending(): Promise<void> | null
  /** Rejects with the build's failure, or with the reason of the waiter's signal. `again`: it was ended before. */
  attend(waiter: Waiter): Promise<Build | null | 'again'>
  /** Ends the build if nobody waits for it. */
  reconsider(): Promise<void>
}

interface Work {
  readonly buildNumber: number
  /** Makes the build. Null when it had been ended before, because nobody waited for it. */
  readonly make: (share: Share) => Promise<Build | null>
  /** Records that nobody waits any more. False when a deploy that has not left is about to come. */
  readonly abandon: (left: readonly number[]) => Promise<boolean>
  readonly onSettled: () => void
}

export function openShare(work: Work): OpenShare {
  const output = makeOutput()
  const over = new AbortController()
  const waiters = new Set<Waiter>()
  /** Deploys that are to end. */
  const left = new Set<number>()
  /** How far deploys had read that may come again: the database was away. */
  const positions = new Map<number, number>()
  const said: string[] = []
  let place: string | null = null
  let ending: Promise<void> | null = null
  /** The deploy that others are pointed to: its log has all of the output, as long as one of those is left. */
  let whole: number | null = null
  const readAllOfIt = new Set<number>()
  let done = false

  const tell = (text: string): void => {
    for (const { onNote } of waiters) onNote(text)
  }
  const share: Share = {
    output,
    signal: over.signal,
    say(text) {
      said.push(text)
      tell(text)
    },
    sayPlace(text) {
      place = text
      if (text !== null) tell(text)
      for (const { onPlace } of waiters) onPlace(text)
    },
  }
  const outcome = work.make(share).finally(() => {
    done = true
    output.end()
    work.onSettled()
  })
  const settled = outcome.then(
    () => undefined,
    () => undefined,
  )

  /** `forGood`: it is recorded that the build has ended. Else whoever goes on with the deploys goes on with it. */
  const end = async (forGood: boolean): Promise<void> => {
    // The database away: the build is ended all the same, and its row when somebody looks.
    if (forGood && !(await work.abandon([...left]).catch(() => true))) return
    over.abort(new SlipwayError('cancelled', 'Nobody waits for the build any more.'))
    await settled
  }
  const beginToEnd = (forGood: boolean): Promise<void> => {
    ending ??= end(forGood).finally(() => {
      if (!over.signal.aborted) ending = null
    })
    return ending
  }

  const greet = ({ deployId, onNote, onPlace }: Waiter): void => {
    if (place !== null) onPlace(place)
    if (positions.has(deployId)) return // It comes again.
    if (whole === null) whole = deployId
    else onNote(`Deploy ${whole} builds the same: this one waits for its build ${work.buildNumber}, too`)
    for (const text of said) onNote(text)
    if (place !== null) onNote(place)
  }

  return {
    ending: () => ending,
    async attend(waiter) {
      const { deployId, signal } = waiter
      greet(waiter)
      waiters.add(waiter)
      const reader = output.read(positions.get(deployId) ?? 0)
      if (reader.position() === 0) readAllOfIt.add(deployId)
      try {
        await unlessAborted(
          signal,
          readAll(reader, waiter, () => whole ?? deployId),
        )
        return over.signal.aborted ? 'again' : await outcome
      } finally {
        positions.set(deployId, reader.position())
        reader.close()
        waiters.delete(waiter)
        if (whole === deployId) whole = [...waiters].find((other) => readAllOfIt.has(other.deployId))?.deployId ?? whole
        const forGood = isForGood(signal)
        if (forGood) left.add(deployId)
        if (waiters.size === 0 && !done) await beginToEnd(forGood)
      }
    },
    async reconsider() {
      if (waiters.size === 0) await beginToEnd(true)
    },
  }
}

async function readAll(reader: ReturnType<Output['read']>, waiter: Waiter, whole: () => number): Promise<void> {
  for (let next = await reader.next(); next !== null; next = await reader.next()) {
    if (next.cut > 0) {
      waiter.onNote(`The first ${next.cut} lines are not repeated here: slipway deploys log ${whole()}`)
    }
    for (const line of next.lines) waiter.onLine(line)
    await waiter.room()
  }
}

/** The deploy is to end. For any other reason its build is left to whoever goes on with it. */
export function isForGood({ reason }: AbortSignal): boolean {
  return reason instanceof SlipwayError && reason.code === 'cancelled'
}

function unlessAborted(signal: AbortSignal, work: Promise<void>): Promise<void> {
  if (signal.aborted) return Promise.reject(reasonOf(signal))
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(reasonOf(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

const reasonOf = (signal: AbortSignal): Error => (signal.reason instanceof Error ? signal.reason : new Error('aborted'))
