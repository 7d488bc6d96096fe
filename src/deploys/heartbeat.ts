import { heartbeatMs, type Lease } from './lease.ts'
import { takeOverExpired } from './line-store.ts'
import { lost, type Tools } from './steps/index.ts'

interface Pulse {
  readonly tools: Tools
  readonly lease: Lease
  /** What this worker is at. */
  readonly running: ReadonlyMap<number, AbortController>
  readonly takeUp: (deployId: number, askedMs: number) => void
  /** After each beat. */
  readonly onBeat: () => void
  readonly stopped: AbortSignal
}

/**
 * Keeps the leases of what runs, lets go of what was lost, and takes up what nobody is at: what another worker left, and what
 * is ours but came to no end, because running it failed. Ends with the signal.
 */
export async function keepHeartbeat(pulse: Pulse): Promise<void> {
  let idle: ReadonlySet<number> = new Set()
  while (!pulse.stopped.aborted) {
    await untilNextBeat(pulse.tools, pulse.stopped)
    try {
      idle = await beat(pulse, idle)
    } catch (error) {
      pulse.tools.logger.warn('the leases of deploys were not renewed', { error })
    }
  }
}

/** @returns our deploys that we are not at; `idle` are those of the beat before: what was claimed a moment ago is not among them */
async function beat(pulse: Pulse, idle: ReadonlySet<number>): Promise<ReadonlySet<number>> {
  const { tools, lease, running, takeUp, onBeat } = pulse
  const before = [...running]
  const owned = await lease.renew()
  for (const [id, controller] of before) if (!owned.has(id)) controller.abort(lost)
  const askedMs = tools.clock.monotonicMs()
  const expired = await takeOverExpired(tools.db, lease.worker)
  const isIdle = (id: number): boolean => !running.has(id)
  for (const id of [...expired, ...[...owned].filter((own) => idle.has(own))].filter(isIdle)) takeUp(id, askedMs)
  onBeat()
  return new Set([...owned].filter(isIdle))
}

/** A process that was frozen, or a machine that had no time for it, is told of: nothing else shows why all was late. */
async function untilNextBeat({ clock, logger }: Tools, signal: AbortSignal): Promise<void> {
  const sinceMs = clock.monotonicMs()
  await clock.sleep(heartbeatMs, signal)
  const lateMs = clock.monotonicMs() - sinceMs - heartbeatMs
  if (lateMs > heartbeatMs) logger.warn('Slipway stood still', { seconds: Math.round(lateMs / 1000) })
}
