/*
 * Flaws that the product's code could have: each is put in by itself, and the schedules must find it. `from` stands in the
 * file once; where it doesn't any more, the flaw is to be written anew.
 */

export interface Flaw {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
}

export const flaws: readonly Flaw[] = [
  {
    name: 'a record does not ask who owns the deploy',
    file: 'src/deploys/store.ts',
    from: "where id = $1 and lease_owner = $2 and state = 'running' returning id",
    to: "where id = $1 and $2::text is not null and state = 'running' returning id",
  },
  {
    name: 'the log does not ask who owns the deploy',
    file: 'src/deploys/log.ts',
    from: 'where id = $1 and lease_owner = $5',
    to: 'where id = $1 and $5::text is not null',
  },
  {
    name: 'leases are not given back at SIGTERM',
    file: 'src/deploys/queue.ts',
    from: '.releaseLeases(tools.db, worker)',
    to: '.listOwnRunning(tools.db, worker)',
  },
  {
    name: 'a push takes the place of a waiting rollback',
    file: 'src/deploys/line.ts',
    from: "replaceable: kind === 'push'",
    to: "replaceable: kind === 'push' || kind === 'rollback'",
  },
  {
    name: 'rollbacks do not go first',
    file: 'src/deploys/line-store.ts',
    from: 'order by priority desc, id for update',
    to: 'order by id for update',
  },
  {
    name: 'a release command that ended well runs again after a take-over',
    file: 'src/deploys/steps/release-commands.ts',
    from: 'if (begun[position]?.exitCode === 0) continue',
    to: '',
  },
  {
    name: 'a cancel wakes nobody',
    file: 'src/deploys/deploys.ts',
    from: 'for (const each of [id, ...told]) logs.notify(each)\n      queue.wake()',
    to: 'for (const each of [id, ...told]) logs.notify(each)',
  },
  {
    name: 'the end of a deploy wakes nobody',
    file: 'src/deploys/queue.ts',
    from: 'running.delete(deployId)\n        wake()',
    to: 'running.delete(deployId)',
  },
  {
    name: 'a step begins although somebody cancelled in between',
    file: 'src/deploys/store.ts',
    from: 'cancel_requested_at is null as begins',
    to: 'true as begins',
  },
  {
    name: 'the plan does not look for a cancel',
    file: 'src/deploys/plan.ts',
    from: 'if (cancelRequested)',
    to: "if (cancelRequested && done.includes('check'))",
  },
  {
    name: 'a cancel during the swap is taken',
    file: 'src/deploys/line-store.ts',
    from: "step is distinct from 'swap' as asked",
    to: 'true as asked',
  },
  {
    name: 'two deploys of an environment run at once',
    file: 'src/deploys/line-store.ts',
    from: "where r.environment_id = w.environment_id and r.state = 'running'",
    to: "where r.environment_id = w.environment_id and r.state = 'live'",
  },
  {
    name: 'a swap that was not recorded is not undone',
    file: 'src/deploys/end-deploy.ts',
    from: "if (deploy.step === 'swap') await tools.whileRoutesHold(() => restoreRoute(tools, deploy))",
    to: '',
  },
  {
    name: 'what serves by now is removed',
    file: 'src/deploys/retire.ts',
    from: "if (instances.some((instance) => instance.state === 'serving')) return",
    to: '',
  },
  {
    name: 'what ran when the server died is not taken over',
    file: 'src/deploys/queue.ts',
    from: 'for (const id of await line.takeOverRunning(tools.db, worker)) takeUp(id, askedMs)',
    to: '',
  },
  {
    name: 'a build begins by an old answer',
    file: 'src/builds/make-build.ts',
    from: 'if (clock.monotonicMs() - askedMs < freshMs) return',
    to: 'if (clock.monotonicMs() >= askedMs) return',
  },
]
