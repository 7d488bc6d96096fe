import type { DeployReads, Deploys, InstanceRecord } from '../deploys/index.ts'
import { withTimeout } from '../kernel/timeout.ts'
import { type Instance, type Runtime, tryConnect } from '../runtime/index.ts'
import type { RunningInstance, RunningReleases } from './needs.ts'

interface Parts {
  readonly reads: Pick<DeployReads, 'findServing'>
  readonly deploys: Pick<Deploys, 'listInstances'>
  readonly runtime: Pick<Runtime, 'inspect'>
  /** Whether something listens there; a connection unless told. */
  readonly listens?: (place: { address: string; port: number }) => Promise<boolean>
}

/** A status page must not hang with the engine. */
const inspectMs = 3_000
const connectMs = 1_000

/** What serves, as the database knows it and the engine sees it. */
export function makeRunningReleases({ reads, deploys, runtime, listens = isOpen }: Parts): RunningReleases {
  const look = (containerId: string): Promise<Instance | null | 'unknown'> =>
    withTimeout({ ms: inspectMs, what: 'The engine' }, () => runtime.inspect(containerId)).catch(
      () => 'unknown' as const,
    )

  return {
    async find(environmentId) {
      const serving = await reads.findServing(environmentId)
      if (serving === null) return null
      const records = (await deploys.listInstances(environmentId)).filter((one) => one.deployId === serving.deployId)
      const instances = await Promise.all(
        records.map(async (record): Promise<RunningInstance> => {
          const seen = record.containerId === null ? null : await look(record.containerId)
          const state = stateOf(seen)
          // A process that is up again but not ready yet gets no visitors: the proxy says that the site has crashed.
          const isSilent =
            state.state === 'running' &&
            record.process === 'web' &&
            record.address !== null &&
            !(await listens({ ...record, address: record.address }))
          const name = `v${serving.number} ${record.process}.${record.position}`
          return withCrash(record, { name, ...state, ...(isSilent ? { state: 'silent' as const } : {}) })
        }),
      )
      return { release: serving.number, commit: serving.commit, since: serving.since, instances }
    },
  }
}

async function isOpen(place: { address: string; port: number }): Promise<boolean> {
  const outcome = await tryConnect(place, { timeoutMs: connectMs, signal: AbortSignal.timeout(2 * connectMs) })
  return outcome === 'open'
}

/** What the engine shows is how it is now; what it went through is recorded. */
function withCrash(record: InstanceRecord, seen: Omit<RunningInstance, 'crash'>): RunningInstance {
  const { downSince, crashLoopSince, endCount, lastExitCode, lastOutOfMemory } = record
  const restarts = Math.max(endCount, seen.restarts)
  const since = crashLoopSince ?? downSince
  // A worker is down until it is started, which is after the swap.
  const isNew = record.process !== 'web' && endCount === 0
  if (since === null || isNew) return { ...seen, restarts, crash: null }
  const isDown = downSince !== null && (seen.state === 'stopped' || seen.state === 'restarting')
  const crash = { since, exitCode: lastExitCode, outOfMemory: lastOutOfMemory, isLoop: crashLoopSince !== null }
  return { ...seen, ...(isDown ? { state: 'crashed' as const } : {}), restarts, crash }
}

function stateOf(seen: Instance | null | 'unknown'): Omit<RunningInstance, 'name' | 'crash'> {
  if (seen === 'unknown') return { state: 'unknown', restarts: 0, startedAt: null }
  if (seen === null) return { state: 'stopped', restarts: 0, startedAt: null }
  const state = seen.state === 'running' || seen.state === 'restarting' ? seen.state : 'stopped'
  return { state, restarts: seen.restarts, startedAt: seen.startedAt }
}
