import { heartbeatMs } from '../../../src/deploys/lease.ts'
import type { Life } from './life.ts'
import type { World } from './world.ts'

/*
 * What has to be done without anybody waiting for a heartbeat: as long as one server is alive, was never frozen, and nothing
 * that it asks for goes wrong.
 */

/** A running deploy was cancelled. */
export function expectEnd(world: World, life: Life, id: number): void {
  soon(world, life, () => {
    const [deploy] = world.database.tables.deploys.select(world.look(), (d) => d.id === id)
    if (deploy?.finished_at === null) world.violate(`deploy ${id} goes on although it was cancelled`)
  })
}

/** An environment runs nothing: what waits there begins. */
export function expectNext(world: World, life: Life): void {
  const { deploys } = world.database.tables
  const askedMs = world.timeline.nowMs()
  const idle = (): number[] => {
    const all = deploys.select(world.look(), () => true)
    const open = all.filter((d) => d.finished_at === null)
    const busy = new Set(open.filter(({ state }) => state === 'running').map((d) => d.environment_id))
    // One that came first may have begun since, and ended in this very moment: then the next is asked for anew.
    for (const { environment_id, started_at } of all) if ((started_at ?? 0) > askedMs) busy.add(environment_id)
    return open.filter((d) => !busy.has(d.environment_id)).map(({ id }) => id)
  }
  const before = idle()
  if (before.length === 0) return
  soon(world, life, () => {
    for (const id of idle())
      if (before.includes(id)) world.violate(`deploy ${id} waits for nothing, and does not begin`)
  })
}

/**
 * After something went wrong this is how long it takes at most until it is found: what was asked for and whose answer was lost by the
 * heartbeat, what the queue tries again after 5 s sooner.
 */
const longestRetryMs = heartbeatMs + 2_000

function soon(world: World, life: Life, check: () => void): void {
  const sinceMs = world.timeline.nowMs() - longestRetryMs
  const isUndisturbed = (): boolean => life.isAlive() && !life.wasFrozen() && world.lastFaultMs < sinceMs
  if (isUndisturbed()) world.timeline.after(world.promptMs, () => isUndisturbed() && check())
}
