import { randomBytes } from 'node:crypto'
import { makeBackground } from '../kernel/background.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { AttachedClient } from '../runtime/index.ts'
import { carryOut } from './carry-out.ts'
import { assertRoomForRun } from './room.ts'
import { type LeftRun, recordLeft } from './events.ts'
import type { Run, RunNeeds, RunRequest } from './run.ts'

/** Commands that people run beside an environment's instances, each in a throw-away container and for as long as they look on. */
export interface Runs {
  /** Takes a place for it, for a while: whoever asked connects to it. Errors: `conflict` when nothing is live, `unavailable`. */
  begin(request: RunRequest): Promise<BegunRun>
  /** The app of a run that was begun; null when there is none such. */
  appOf(id: string): string | null
  /** Runs it for `client` until it or they have ended; `not_found` when it was not begun, or is connected to already. */
  connect(id: string, client: AttachedClient): Promise<void>
  /** Its container is somebody's. One that nobody has is what a dead server left. */
  has(id: string): boolean
  /** Tells of the end of one that nobody has, before its container goes: see `has`. Safe to repeat. */
  recordLeft(run: LeftRun, exitCode: number | null): Promise<void>
  /** Ends those of an environment that is removed; resolves when nothing of them is left. */
  end(environmentId: number): Promise<void>
  /** Ends all; resolves when nothing of them is left. */
  stop(): Promise<void>
}

export interface BegunRun {
  readonly id: string
  readonly releaseNumber: number
}

/** Whoever began one connects at once; one that nobody came for gives its place back. */
const connectWithinMs = 30_000

export function makeRuns(needs: RunNeeds): Runs {
  const stopping = new AbortController()
  const runs = new Map<string, Run>()
  const going = new Map<Run, Promise<void>>()
  const background = makeBackground({ logger: needs.logger, signal: stopping.signal })

  return {
    async begin(request) {
      if (stopping.signal.aborted) throw serverStops()
      const id = randomBytes(8).toString('hex')
      // Counted before anything is waited for: two at once do not take one place.
      assertRoomForRun(
        [...runs.values()].map((run) => run.environment.id),
        request.environment,
        needs.limits,
      )
      const run: Run = { ...request, id, isConnected: false, over: new AbortController() }
      runs.set(id, run)
      try {
        const { releaseNumber } = await needs.readOneOff(request.environment.id, id)
        setTimeout(() => {
          if (!run.isConnected) runs.delete(id)
        }, connectWithinMs).unref()
        return { id, releaseNumber }
      } catch (error) {
        runs.delete(id)
        throw error
      }
    },
    appOf: (id) => runs.get(id)?.environment.app ?? null,
    async connect(id, client) {
      const run = runs.get(id)
      if (run === undefined || run.isConnected)
        throw new SlipwayError('not_found', 'There is no such run to connect to.', {
          hint: `It is begun anew for each connection, which must follow within ${connectWithinMs / 1000} s.`,
        })
      run.isConnected = true
      const work = carryOut(run, client, { ...needs, stopping: stopping.signal }).finally(() => {
        runs.delete(id)
        going.delete(run)
      })
      going.set(run, work)
      background.run('a run failed', work)
      await work
    },
    has: (id) => runs.has(id),
    recordLeft: (run, exitCode) => recordLeft(needs.db, run, exitCode),
    async end(environmentId) {
      const its = [...runs.values()].filter(({ environment }) => environment.id === environmentId)
      for (const run of its) run.over.abort(new SlipwayError('cancelled', 'Its environment was removed.'))
      await Promise.allSettled(its.flatMap((run) => going.get(run) ?? []))
    },
    async stop() {
      stopping.abort(serverStops())
      await background.settled()
    },
  }
}

function serverStops(): SlipwayError {
  return new SlipwayError('unavailable', 'Slipway was stopped, and commands that somebody runs end with it.', {
    hint: 'Run it again when Slipway is back.',
  })
}
