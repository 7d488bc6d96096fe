import type { Runtime } from '../runtime/index.ts'
import type { LogCollector } from './collector.ts'

/** The same runtime, but what a container printed last is kept before it is removed, and who stopped it is told. */
export function keepLogs<R extends Runtime>(runtime: R, collector: Pick<LogCollector, 'settled' | 'expectEnd'>): R {
  return {
    ...runtime,
    async stop(containerId, graceMs) {
      collector.expectEnd(containerId)
      await runtime.stop(containerId, graceMs)
    },
    async remove(containerId) {
      collector.expectEnd(containerId)
      await collector.settled(containerId)
      await runtime.remove(containerId)
    },
  }
}
