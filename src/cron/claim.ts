import { appendEvent } from '../kernel/events.ts'
import { faultPoint } from '../kernel/fault-point.ts'
import { type Due, planDue } from './plan.ts'
import type { CronNeeds } from './needs.ts'
import * as jobsStore from './jobs-store.ts'
import * as runsStore from './runs-store.ts'

const jobsAtOnce = 200

/**
 * Records the runs of all jobs that are due, each in the transaction that says when its job is due next: whoever comes later,
 * after a crash or beside us, finds neither the time nor a second run.
 */
export async function claimDue(needs: Pick<CronNeeds, 'db' | 'place' | 'note'>): Promise<void> {
  const term = needs.place.term()
  for (let more = true; more; ) {
    await term()
    const claimed = await needs.db.transaction(async (tx) => {
      const jobs = await jobsStore.lockDueJobs(tx, jobsAtOnce)
      const plans = jobs.map((job) => ({ job, due: planDue(job, job.now) }))
      await jobsStore.setNextDue(
        tx,
        plans.map(({ job, due }) => ({ ...job, next: due.next })),
      )
      // Where nothing runs, nothing is missed.
      const wanted = plans.filter(({ job }) => job.isActive)
      await runsStore.insertRuns(
        tx,
        wanted.flatMap(({ job, due: { run } }) =>
          run === null || job.deployId === null
            ? []
            : [{ ...job, deployId: job.deployId, dueAt: run, isSkipped: job.isBusy }],
        ),
      )
      for (const { job, due } of wanted) if (due.missed !== null) await tellMissed(tx, job, due)
      return { wanted, count: jobs.length }
    })
    faultPoint('job.claimed')
    for (const { job, due } of claimed.wanted) {
      if (job.isBusy && due.run !== null && job.release !== null)
        needs.note({ ...job, release: job.release }, `cron.${job.label} was not started: its last run is still going`)
    }
    more = claimed.count === jobsAtOnce
  }
}

async function tellMissed(
  tx: Parameters<typeof appendEvent>[0],
  { appId, environmentId, label }: jobsStore.DueJob,
  { run, missed }: Due,
): Promise<void> {
  const data = { label, count: missed?.count, from: missed?.from.toISOString(), madeUp: run !== null }
  await appendEvent(tx, { kind: 'cron.missed', appId, environmentId, by: 'slipway', data })
}
