import type { Clock } from '../kernel/clock.ts'
import type { Database, ServerPlace, Term } from '../postgres/database.ts'
import { LostDeployError, leaseMs, renewLeases } from './line-store.ts'

/** What a worker knows of its right to what it runs. */
export interface Lease {
  readonly worker: string
  /** A deploy was claimed or taken over by what was asked for at this time of the clock. */
  hold(deployId: number, askedMs: number): void
  /** Extends the leases of everything that this worker runs. Returns what it still owns. */
  renew(): Promise<ReadonlySet<number>>
  /**
   * Before every outside effect: a process that was frozen goes on in the middle of a step, when somebody else may have
   * taken the deploy over. Costs nothing while this deploy's lease and the server's place are fresh. Throws `LostDeployError`, and
   * what the database throws when it is away.
   */
  assertHeld(deployId: number): Promise<void>
}

/** By our own clock, which the database's may run ahead of: after half of it the database is asked. */
const freshMs = leaseMs / 2

/** Heartbeats come so often that two may be lost. */
export const heartbeatMs = leaseMs / 3

interface Holder {
  readonly db: Database
  readonly place: ServerPlace
  readonly clock: Clock
  readonly worker: string
}

export function makeLease({ db, place, clock, worker }: Holder): Lease {
  let heldIn: Term | null = null
  /** When each deploy's lease was asked for that the database granted last. One that was lost is not in here. */
  let heldMs = new Map<number, number>()
  const isFresh = (deployId: number): boolean =>
    clock.monotonicMs() - (heldMs.get(deployId) ?? Number.NEGATIVE_INFINITY) < freshMs
  const renew = async (): Promise<ReadonlySet<number>> => {
    const askedMs = clock.monotonicMs()
    const owned = await renewLeases(db, worker)
    heldMs = new Map(owned.map((id) => [id, askedMs]))
    return new Set(owned)
  }
  return {
    worker,
    hold: (deployId, askedMs) => void heldMs.set(deployId, askedMs),
    renew,
    async assertHeld(deployId) {
      const term = place.term()
      // Another server may have come and gone in between: then no lease of before says anything.
      if (heldIn !== term) heldMs.clear()
      heldIn = term
      await term()
      // The answer, too, may have come to a process that was frozen.
      while (!isFresh(deployId)) {
        if (!(await renew()).has(deployId)) throw new LostDeployError({ id: deployId, worker })
      }
    },
  }
}
