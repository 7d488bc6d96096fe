import type { Runtime } from '../runtime/index.ts'
import type { LogCollector } from './collector.ts'

/** The same runtime, but what a container printed last is kept before it is removed. */
export function keepLogs<R extends Runtime>(runtime: R, collector: Pick<LogCollector, 'settled'>): R {
  return {
    ...runtime,
    async remove(containerId) {
      await collector.settled(containerId)
      await runtime.remove(containerId)
    },
  }
}
