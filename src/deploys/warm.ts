import { faultPoint } from '../kernel/fault-point.ts'
import type { Transaction } from '../postgres/database.ts'
import type { Deploy } from './deploy.ts'
import { type InstanceRecord, isWeb, listInstancesOfDeploy } from './instances.ts'
import { planInstances } from './plan-instances.ts'
import type { ReleaseSpec } from './release-spec.ts'
import { readScale } from './scale-store.ts'
import type { StepContext, Tools } from './steps/step.ts'
import { updateOwn } from './store.ts'

/*
 * What served before a swap and is kept as it was for a while: warm. Going back to it starts nothing. It stays the other
 * deploy's instances, and serves the new release, which is made of the same image and the same variables.
 */

/** Beside the checks: taking it, and the swap. */
const takingMs = 10 * 60_000

/** Takes what is still warm of the release that a rollback goes back to; false when there is nothing of it, or not as many. */
export async function takeWarm({ deploy, own, log, tools }: StepContext, spec: ReleaseSpec): Promise<boolean> {
  const { from, kind, environmentId, live } = deploy
  if (kind !== 'rollback' || from?.variables !== 'release' || from.releaseId === null) return false
  const before = from.releaseId
  const isTaken = await tools.db.transaction(async (tx) => {
    const owner = await findWarm(tx, environmentId, before)
    if (owner === null) return false
    const there = await listInstancesOfDeploy(tx, owner)
    const places = planInstances(spec.processes, { live, scale: await readScale(tx, environmentId) })
    if (!isSame(there, places)) return false
    // It must not go while it is checked.
    const staysMs = spec.build.config.health.deadlineMs + takingMs
    await tx.query(
      `update instances set warm_until = greatest(warm_until, now() + $2 * interval '1 millisecond')
       where deploy_id = $1 and state = 'draining' and warm_until > now()`,
      [owner, staysMs],
    )
    await updateOwn(tx, own, 'instances_of = $3', [owner])
    return true
  })
  if (isTaken)
    log.write('detail', `What ran of v${from.number ?? 0} is still warm: it serves again, and nothing is started`)
  faultPoint('deploy.start.warm')
  return isTaken
}

/** The deploy whose instances of this release are warm. They are locked: nobody else ends that in between. */
async function findWarm(tx: Transaction, environmentId: number, releaseId: number): Promise<number | null> {
  const rows = await tx.query<{ id: number }>(
    `select i.deploy_id as id from instances i join releases r on r.id = i.release_id
     where i.release_id = $2 and r.environment_id = $1 and i.state = 'draining' and i.process = 'web'
       and i.warm_until > now() + interval '2 seconds' for update of i`,
    [environmentId, releaseId],
  )
  return rows[0]?.id ?? null
}

/** As many of each process as there are to be. Workers have ended; their places have not. */
function isSame(there: readonly InstanceRecord[], places: readonly { process: string; position: number }[]): boolean {
  const name = ({ process, position }: { process: string; position: number }): string => `${process}.${position}`
  const isReady = (one: InstanceRecord): boolean => !isWeb(one) || (one.warmLeftMs > 0 && one.containerId !== null)
  return there.every(isReady) && there.map(name).toSorted().join(' ') === places.map(name).toSorted().join(' ')
}

/** They serve again, for the release that went back to them; their workers are down until they are started anew. */
export async function serveAgain(
  tx: Transaction,
  { instancesOf, releaseId }: Pick<Deploy, 'instancesOf' | 'releaseId'>,
): Promise<void> {
  await tx.query(
    `update instances set state = 'serving', release_id = $2, warm_until = null, drain_until = null, start_attempts = 0,
       next_start_at = null, down_since = case when process = 'web' then null else now() end
     where deploy_id = $1 and state = 'draining'`,
    [instancesOf, releaseId],
  )
}

/** Nobody goes back any more to what runs of these releases: it was started with a value that was taken out of them. */
export async function endWarm(tx: Transaction, releaseIds: readonly number[]): Promise<void> {
  await tx.query(
    `update instances set warm_until = null where release_id = any($1) and state = 'draining' and warm_until is not null`,
    [releaseIds],
  )
}

const lookEveryMs = 1_000

/** Until nothing of it is warm any more: its time is over, something newer serves, or it serves again itself. */
export async function untilCold(
  { db, clock }: Tools,
  deployId: number,
  signal: AbortSignal,
): Promise<InstanceRecord[]> {
  for (;;) {
    const left = (await listInstancesOfDeploy(db, deployId)).filter(({ state }) => state === 'draining')
    const warmMs = Math.max(0, ...left.map(({ warmLeftMs }) => warmLeftMs))
    if (warmMs === 0) return left
    await clock.sleep(Math.min(warmMs, lookEveryMs), signal)
  }
}
