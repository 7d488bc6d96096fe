import { type CheckContext, endsOf, failedCheck } from './check.ts'
import { explainEnd } from './judge.ts'

/**
 * Rejects as soon as the process has ended: the engine tells, nothing is polled. Resolves never, and rejects with the
 * signal's reason when the checks are over.
 */
export function watchProcess(context: CheckContext): Promise<never> {
  const { runtime, instance, signal } = context
  return new Promise((_, reject) => {
    // Nobody would be told of it any more.
    if (signal.aborted) return reject(reasonOf(signal))
    async function look(): Promise<void> {
      const now = await runtime.inspect(instance.containerId)
      const end = explainEnd(now, endsOf(context))
      if (end !== null) reject(failedCheck(end))
    }
    runtime.watch((change) => {
      // `resync`: the stream has begun; whatever happened before is seen by looking.
      if (change.kind !== 'resync' && change.containerId !== instance.containerId) return
      // An engine that does not answer is unknown; the stream's next beginning looks again.
      look().catch(() => {})
    }, signal)
    signal.addEventListener('abort', () => reject(reasonOf(signal)), { once: true })
  })
}

const reasonOf = (signal: AbortSignal): Error => (signal.reason instanceof Error ? signal.reason : new Error('over'))
