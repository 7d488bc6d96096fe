import type { Engine } from './engine.ts'

/** What a running container uses. */
export interface ContainerUse {
  /** Without the file cache, which the kernel gives back. */
  readonly memoryBytes: number
  /** Processor time since it was started, of all cores together. */
  readonly cpuMs: number
}

/** Null when nobody knows. */
export async function readUse(engine: Engine, containerId: string): Promise<ContainerUse | null> {
  try {
    const stats = await engine.call('stats', (docker) => {
      // One sample: the engine otherwise waits a second for another, to compare processor times.
      const how = { stream: false, 'one-shot': true }
      return docker.getContainer(containerId).stats(how as { stream: false })
    })
    const { usage, stats: parts } = stats.memory_stats as { usage?: number; stats?: Record<string, number> }
    if (usage === undefined) return null
    const memoryBytes = Math.max(0, usage - (parts?.['total_inactive_file'] ?? parts?.['inactive_file'] ?? 0))
    return { memoryBytes, cpuMs: stats.cpu_stats.cpu_usage.total_usage / 1e6 }
  } catch {
    return null
  }
}
