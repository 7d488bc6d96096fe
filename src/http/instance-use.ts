import { setTimeout as delay } from 'node:timers/promises'

export type ReadUse = (containerId: string) => Promise<{ memoryBytes: number; cpuMs: number } | null>

export interface InstanceUse {
  readonly memoryBytes: number
  /** Of one core. */
  readonly cpuPercent: number
}

/** Long enough that the engine's clock does not matter, short enough to wait for. */
const betweenMs = 400

/** Looks twice at each, all at the same time; those of which nobody knows anything are left out. */
export async function measureUse(containerIds: readonly string[], readUse: ReadUse): Promise<Map<string, InstanceUse>> {
  const look = async (containerId: string) => ({ seen: await readUse(containerId), atMs: performance.now() })
  const uses = await Promise.all(
    containerIds.map(async (containerId): Promise<[string, InstanceUse][]> => {
      const first = await look(containerId)
      await delay(betweenMs)
      const second = await look(containerId)
      if (first.seen === null || second.seen === null) return []
      const cpuPercent = (100 * (second.seen.cpuMs - first.seen.cpuMs)) / (second.atMs - first.atMs)
      return [[containerId, { memoryBytes: second.seen.memoryBytes, cpuPercent: Math.max(0, cpuPercent) }]]
    }),
  )
  return new Map(uses.flat())
}
