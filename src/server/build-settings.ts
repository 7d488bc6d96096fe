import { availableParallelism } from 'node:os'
import type { BuildSettings } from '../builds/index.ts'
import type { Settings } from '../config.ts'

/** What is not set is chosen by the machine. */
export function buildSettings({ build }: Settings): BuildSettings {
  const cores = availableParallelism()
  return {
    pull: build.pull,
    memoryBytes: build.memoryBytes,
    // Half a core is left for what serves.
    cpus: build.cpus ?? Math.max(0.5, cores - 0.5),
    slots: build.slots ?? Math.max(1, Math.floor(cores / 2)),
    timeoutMs: build.timeoutMs,
    platform: `${process.platform}/${process.arch}`,
  }
}
