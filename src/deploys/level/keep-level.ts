import { makeMutex } from '../../kernel/mutex.ts'
import { type Reconciled, reconcile } from './reconcile.ts'
import type { Tools } from '../steps/index.ts'
import { watchInstances } from './watch-instances.ts'

/** For what nobody tells of. One call to the engine, five to the proxy and some to the database, whatever is there. */
const reconcileEveryMs = 30_000
const soonestMs = 500

/** Database, engine and proxy kept in agreement while Slipway works. */
export interface LevelKeeper {
  /** One comparison at a time; whoever asks meanwhile waits for the next. */
  reconcile(): Promise<Reconciled>
  /** From now on compares on the engine's events, when a back-off is over, and every 30 s, until the signal fires. */
  watch(signal: AbortSignal): void
}

export function makeLevelKeeper(tools: Tools, onDraining: (deployId: number) => void): LevelKeeper {
  const inTurn = makeMutex()
  const reconcileNow = (): Promise<Reconciled> =>
    inTurn(async () => {
      const found = await reconcile(tools)
      const { started, removed } = found
      if (started + removed > 0)
        tools.logger.info('the engine was brought to what the database says', { started, removed })
      for (const deployId of found.draining) onDraining(deployId)
      return found
    })

  return {
    reconcile: reconcileNow,
    watch(signal) {
      let waiting = new AbortController()
      let asked = false
      let isLooking = false
      const lookIn = (ms: number): void => {
        waiting.abort()
        waiting = new AbortController()
        tools.clock.sleep(ms, AbortSignal.any([signal, waiting.signal])).then(look, () => undefined)
      }
      const look = async (): Promise<void> => {
        // A hundred events at once are one comparison, begun after the last of them.
        asked = true
        if (isLooking) return
        isLooking = true
        let nextMs = reconcileEveryMs
        while (asked && !signal.aborted) {
          asked = false
          try {
            nextMs = Math.max(
              soonestMs,
              Math.min(reconcileEveryMs, (await reconcileNow()).nextLookMs ?? reconcileEveryMs),
            )
          } catch (error) {
            tools.logger.warn('reconciling failed; it is tried again', { error })
            nextMs = reconcileEveryMs
          }
        }
        isLooking = false
        lookIn(nextMs)
      }
      watchInstances(tools, () => void look(), signal)
      lookIn(reconcileEveryMs)
    },
  }
}
