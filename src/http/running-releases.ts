import type { DeployReads, Deploys, InstanceRecord } from '../deploys/index.ts'
import { withTimeout } from '../kernel/timeout.ts'
import { type Instance, type Runtime, tryConnect } from '../runtime/index.ts'
import { type InstanceUse, measureUse, type ReadUse } from './instance-use.ts'
import type { BesideRelease, RunningInstance, RunningReleases } from './needs.ts'

interface Parts {
  readonly reads: Pick<DeployReads, 'findServing'>
  readonly deploys: Pick<Deploys, 'listInstances'>
  readonly runtime: Pick<Runtime, 'inspect'>
  /** What a running container uses since it was started; null when nobody knows. */
  readonly readUse: ReadUse
  /** Whether something listens there; a connection unless told. */
  readonly listens?: (place: { address: string; port: number }) => Promise<boolean>
}

/** A status page must not hang with the engine. */
const inspectMs = 3_000
const connectMs = 1_000
/** So long after the swap its workers may take to start before they are called stopped. */
const workersStartMs = 15_000

/** What serves and what runs beside it, as the database knows it and the engine sees it. */
export function makeRunningReleases(parts: Parts): RunningReleases {
  return {
    async find(environmentId, { use = false } = {}) {
      const [serving, records] = await Promise.all([
        parts.reads.findServing(environmentId),
        parts.deploys.listInstances(environmentId),
      ])
      const containerIds = records.flatMap(({ containerId }) => containerId ?? [])
      const uses = use ? await measureUse(containerIds, parts.readUse) : new Map<string, InstanceUse>()
      const mayStart = (record: InstanceRecord): boolean => {
        if (record.deployId !== serving?.deployId) return record.state !== 'draining'
        return Date.now() - serving.since.getTime() < workersStartMs
      }
      const seen = await Promise.all(records.map((one) => lookAt(one, { ...parts, uses, mayStart: mayStart(one) })))
      const sets = Map.groupBy(records, ({ deployId }) => deployId)
      const of = (set: readonly InstanceRecord[]): RunningInstance[] =>
        set.flatMap((record) => seen[records.indexOf(record)] ?? [])
      return {
        serving:
          serving === null
            ? null
            : {
                release: serving.number,
                commit: serving.commit,
                since: serving.since,
                instances: of(sets.get(serving.deployId) ?? []),
              },
        beside: [...sets.values()].flatMap((set) => {
          const [first] = set
          if (first === undefined || first.deployId === serving?.deployId) return []
          return [
            { release: first.releaseNumber, deployId: first.deployId, state: stateOfSet(set), instances: of(set) },
          ]
        }),
      }
    },
  }
}

function stateOfSet(set: readonly InstanceRecord[]): BesideRelease['state'] {
  if (set.some(({ warmLeftMs }) => warmLeftMs > 0)) return 'warm'
  const state = set[0]?.state
  return state === 'draining' || state === 'awake' ? state : 'starting'
}

async function lookAt(
  record: InstanceRecord,
  { runtime, listens = isOpen, uses, mayStart }: Parts & { uses: ReadonlyMap<string, InstanceUse>; mayStart: boolean },
): Promise<RunningInstance> {
  const { containerId, address, process, position, releaseNumber } = record
  const seen =
    containerId === null
      ? null
      : await withTimeout({ ms: inspectMs, what: 'The engine' }, () => runtime.inspect(containerId)).catch(
          () => 'unknown' as const,
        )
  const state = stateOf(seen)
  // A process that is up again but not ready yet gets no visitors: the proxy says that the site has crashed.
  const isSilent =
    state.state === 'running' && process === 'web' && address !== null && !(await listens({ ...record, address }))
  const use = containerId === null ? null : (uses.get(containerId) ?? null)
  const name = `v${releaseNumber} ${process}.${position}`
  if (state.state === 'stopped' && mayStart && isNewWorker(record))
    return { name, ...state, state: 'starting', use, crash: null }
  return withCrash(record, { name, ...state, ...(isSilent ? { state: 'silent' as const } : {}), use })
}

async function isOpen(place: { address: string; port: number }): Promise<boolean> {
  const outcome = await tryConnect(place, { timeoutMs: connectMs, signal: AbortSignal.timeout(2 * connectMs) })
  return outcome === 'open'
}

/** A worker is down until it is started, which is after the swap. */
function isNewWorker({ process, endCount, downSince }: InstanceRecord): boolean {
  return process !== 'web' && endCount === 0 && downSince !== null
}

/** What the engine shows is how it is now; what it went through is recorded. */
function withCrash(record: InstanceRecord, seen: Omit<RunningInstance, 'crash'>): RunningInstance {
  const { downSince, crashLoopSince, endCount, lastExitCode, lastOutOfMemory, startError } = record
  const restarts = Math.max(endCount, seen.restarts)
  const since = crashLoopSince ?? downSince
  if (since === null || isNewWorker(record)) return { ...seen, restarts, crash: null }
  const isDown = downSince !== null && (seen.state === 'stopped' || seen.state === 'restarting')
  const end = { exitCode: lastExitCode, outOfMemory: lastOutOfMemory, startError }
  const crash = { since, ...end, isLoop: crashLoopSince !== null }
  return { ...seen, ...(isDown ? { state: 'crashed' as const } : {}), restarts, crash }
}

function stateOf(seen: Instance | null | 'unknown'): Omit<RunningInstance, 'name' | 'crash' | 'use'> {
  if (seen === 'unknown') return { state: 'unknown', restarts: 0, startedAt: null }
  if (seen === null) return { state: 'stopped', restarts: 0, startedAt: null }
  const state = seen.state === 'running' || seen.state === 'restarting' ? seen.state : 'stopped'
  return { state, restarts: seen.restarts, startedAt: seen.startedAt }
}
