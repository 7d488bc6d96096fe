import { makeBackground } from '../kernel/background.ts'
import { actAs, slipway } from '../kernel/actor.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { quote } from '../kernel/names.ts'
import type { Transaction } from '../postgres/database.ts'
import { labelNames } from '../runtime/index.ts'
import { claimDue } from './claim.ts'
import type { CronNeeds } from './needs.ts'
import { ending, runJob, stopping } from './run-job.ts'
import * as jobsStore from './jobs-store.ts'
import * as runsStore from './runs-store.ts'
import type { ListedJob } from './jobs-store.ts'
import type { CronRun, RunFilter } from './runs-store.ts'

export type { ListedJob } from './jobs-store.ts'
export type { CronRun } from './runs-store.ts'

/** Does what environments want done at certain times. */
export interface Cron {
  /** In the transaction in which a deploy goes live: the jobs of its release take the place of those before. */
  replaceJobs(tx: Transaction, live: { environmentId: number; deployId: number }): Promise<void>
  list(environmentId: number): Promise<ListedJob[]>
  /** The runs of its jobs, of those it has no more too, the newest first. */
  listRuns(environmentId: number, filter: RunFilter): Promise<CronRun[]>
  getRun(environmentId: number, id: number): Promise<CronRun>
  /** Begins a run of a job now. `conflict` when one goes already, or nothing runs there. */
  runNow(environmentId: number, label: string, by: string): Promise<CronRun>
  /** True when it has ended and all that it printed is kept; false when the time is over first. */
  waitForEnd(environmentId: number, id: number, ms: number): Promise<boolean>
  /** Ends what an environment has going that is removed. */
  end(environmentId: number, signal: AbortSignal): Promise<void>
  /** Goes on with what was begun, and begins what is due, until `stop`. */
  start(): void
  /** Lets go of what goes: the next life of the server finds it. */
  stop(): Promise<void>
}

/** Jobs are due at whole minutes. In between somebody else may have left a run behind. */
const lookEveryMs = 10_000
/** One that is due may be another’s, in a transaction that goes on. */
const leastMs = 100
/** A transaction that said so has ended by then. */
const soonMs = 500
const sweepEveryMs = 5 * 60_000
const stopGraceMs = 2_000

interface Going {
  readonly run: CronRun
  readonly over: AbortController
  readonly done: Promise<void>
}

export function makeCron(needs: CronNeeds): Cron {
  const { db, clock, logger } = needs
  const stop = new AbortController()
  const background = makeBackground({ logger, signal: stop.signal })
  const going = new Map<number, Going>()
  let wake = new AbortController()

  const begin = (run: CronRun): void => {
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, stop.signal])
    const work = async (): Promise<void> => {
      const giveBack = await needs.slots.take(signal)
      await runJob(needs, run, signal).finally(giveBack)
    }
    const done = actAs(slipway, work).finally(() => going.delete(run.id))
    going.set(run.id, { run, over, done })
    background.run('a run of a job broke off; it is taken up again', done)
  }

  const look = async (): Promise<void> => {
    await claimDue(needs)
    for (const run of await runsStore.listOpenRuns(db)) if (!going.has(run.id) && !stop.signal.aborted) begin(run)
  }

  /** Containers of runs that ended while nobody could remove them. */
  const sweep = async (): Promise<void> => {
    const open = new Set((await runsStore.listOpenRuns(db)).map(({ id }) => String(id)))
    for (const { labels, containerId } of await needs.runtime.survey()) {
      const run = labels[labelNames.cronRun]
      if (labels[labelNames.kind] !== 'cron' || run === undefined || open.has(run) || going.has(Number(run))) continue
      await needs.runtime.remove(containerId)
    }
  }

  const keepTime = async (): Promise<void> => {
    let sweptMs = Number.NEGATIVE_INFINITY
    while (!stop.signal.aborted) {
      let waitMs = lookEveryMs
      wake = new AbortController()
      try {
        await look()
        const dueMs = await jobsStore.msUntilDue(db)
        waitMs = Math.min(lookEveryMs, Math.max(leastMs, dueMs ?? lookEveryMs))
        if (clock.monotonicMs() - sweptMs > sweepEveryMs) {
          sweptMs = clock.monotonicMs()
          background.run('containers of ended runs were not removed', sweep())
        }
      } catch (error) {
        if (!stop.signal.aborted) logger.warn('jobs that are due are looked for again later', { error })
      }
      await clock.sleep(waitMs, AbortSignal.any([stop.signal, wake.signal])).catch(() => undefined)
    }
  }

  const wakeSoon = (): void =>
    void clock.sleep(soonMs, stop.signal).then(
      () => wake.abort(),
      () => undefined,
    )

  return {
    async replaceJobs(tx, { environmentId, deployId }) {
      await jobsStore.replaceJobs(tx, environmentId, await jobsStore.listWantedJobs(tx, deployId))
      wakeSoon()
    },
    list: (environmentId) => jobsStore.listJobs(db, environmentId),
    listRuns: (environmentId, filter) => runsStore.listRuns(db, environmentId, filter),
    getRun: (environmentId, id) => getRun(db, environmentId, id),
    async runNow(environmentId, label, by) {
      const run = await db.transaction((tx) => askForRun(tx, { environmentId, label, by }))
      wake.abort()
      return run
    },
    async waitForEnd(environmentId, id, ms) {
      const goes = going.get(id)
      const limit = new AbortController()
      const late = clock.sleep(ms, limit.signal).catch(() => undefined)
      await Promise.race([goes?.done.catch(() => undefined) ?? late, late]).finally(() => limit.abort())
      return !going.has(id) && (await getRun(db, environmentId, id)).finishedAt !== null
    },
    async end(environmentId, signal) {
      const its = [...going.values()].filter(({ run }) => run.environmentId === environmentId)
      for (const { over } of its) over.abort(ending)
      await Promise.all(its.map(({ done }) => done.catch(() => undefined)))
      signal.throwIfAborted()
    },
    start: () => background.run('keeping the time of jobs broke off', actAs(slipway, keepTime)),
    async stop() {
      stop.abort(stopping)
      await Promise.race([background.settled(), clock.sleep(stopGraceMs)])
    },
  }
}

async function getRun(db: CronNeeds['db'], environmentId: number, id: number): Promise<CronRun> {
  const run = await runsStore.findRun(db, environmentId, id)
  if (run !== null) return run
  throw new SlipwayError('not_found', `There is no run ${id} of this environment.`, {
    hint: 'See the last: slipway cron',
  })
}

async function askForRun(
  tx: Transaction,
  { environmentId, label, by }: { environmentId: number; label: string; by: string },
): Promise<CronRun> {
  const around = await jobsStore.holdSurroundings(tx, environmentId)
  if (around === null) throw new SlipwayError('not_found', 'The environment was just removed.')
  const { app, environment, state, deployId } = around
  if (state !== 'active' || deployId === null) {
    throw new SlipwayError('conflict', `Nothing runs in ${environment} of ${app}: jobs run beside what serves.`, {
      hint: `Deploy to it first: slipway deploy ${environment} -a ${app}`,
    })
  }
  const labels = (await jobsStore.listJobs(tx, environmentId)).map((job) => job.label)
  if (!labels.includes(label)) {
    throw new SlipwayError('not_found', `What serves in ${environment} of ${app} has no job ${quote(label)}.`, {
      hint:
        labels.length === 0
          ? 'Jobs stand in slipway.yml under cron, from the next deploy on.'
          : `It has: ${labels.join(', ')}`,
    })
  }
  const run = await runsStore.insertAskedRun(tx, { environmentId, deployId, label, by })
  if (run !== null) return run
  throw new SlipwayError('conflict', `${label} is going already: a job runs once at a time.`, {
    hint: `Wait until it has ended: slipway cron ${environment} -a ${app}`,
  })
}
