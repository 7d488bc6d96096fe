import type { Engine } from './engine.ts'

/** What a running container really uses: without the file cache, which the kernel gives back. null when nobody knows. */
export async function readMemoryUse(engine: Engine, containerId: string): Promise<number | null> {
  try {
    const stats = await engine.call('stats', (docker) => {
      // One sample: the engine otherwise waits a second for another, to compare processor times.
      const how = { stream: false, 'one-shot': true }
      return docker.getContainer(containerId).stats(how as { stream: false })
    })
    const { usage, stats: parts } = stats.memory_stats as { usage?: number; stats?: Record<string, number> }
    if (usage === undefined) return null
    return Math.max(0, usage - (parts?.['total_inactive_file'] ?? parts?.['inactive_file'] ?? 0))
  } catch {
    return null
  }
}
