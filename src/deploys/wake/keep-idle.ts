import { type InstanceRecord, listAwakeInstances } from '../instances.ts'
import type { Tools } from '../steps/index.ts'
import { lastUsedMs, type Use } from './answer.ts'
import { putToSleep } from './lead-awake.ts'

const longestLookMs = 30_000
const shortestLookMs = 250

/**
 * Puts releases to sleep that nobody has used for so long. After a restart of Slipway the time counts anew: what was before is known to
 * the proxy alone, which may have been started again, too. Ends with the signal.
 */
export async function keepIdle(
  { tools, retire, idleMs }: { tools: Tools; retire: (deployId: number) => void; idleMs: number },
  signal: AbortSignal,
): Promise<void> {
  const { clock, db, logger } = tools
  const everyMs = Math.min(longestLookMs, Math.max(shortestLookMs, idleMs / 4))
  let used = new Map<number, number>()
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal).catch(() => undefined)
    if (signal.aborted) return
    try {
      const awake = await listAwakeInstances(db)
      const now = new Map<number, number>()
      for (const instance of awake) {
        const nowMs = clock.monotonicMs()
        const seenMs = used.get(instance.id) ?? nowMs
        const lastMs = lastUsedMs(await readUse(tools, instance), { seenMs, nowMs })
        if (nowMs - lastMs < idleMs) now.set(instance.id, lastMs)
        else if (await putToSleep(tools, instance)) {
          logger.info('a release was put to sleep', { release: `v${instance.releaseNumber} of ${instance.label}` })
          retire(instance.deployId)
        }
      }
      used = now
    } catch (error) {
      if (!signal.aborted) logger.warn('whether releases are used could not be seen; it is tried again', { error })
    }
  }
}

/** A proxy that does not answer says nothing of who uses what. */
async function readUse({ router }: Tools, { address, port }: InstanceRecord): Promise<Use> {
  if (address === null) return { open: 0, quietMs: null }
  return router.readUse({ address, port }).catch(() => ({ open: null, quietMs: null }))
}
