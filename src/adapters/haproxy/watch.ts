import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../../kernel/logger.ts'
import type { ProxyInfo, ProxySocket } from './socket.ts'

const probeEveryMs = 1_000
const retryMs = 500
/** Commands that were sent to a frozen proxy are done when it goes on; they get this long before the maps are compared. */
const settleMs = 200

export interface Watch {
  readonly socket: ProxySocket
  readonly start: () => Promise<ProxyInfo>
  /** Also when others have reloaded it: `pid` leads the requests now. */
  readonly onBack: (pid: number) => Promise<void>
  readonly logger: Logger
  /** The process that was found or started before. */
  readonly before: number | null
}

/**
 * Starts the proxy again as soon as it has ended, tells when it hangs, and calls back when another process or the same one
 * answers again.
 */
export async function watchProxy({ socket, start, onBack, logger, before }: Watch, signal: AbortSignal): Promise<void> {
  let known: number | 'gone' | 'silent' | null = before
  while (!signal.aborted) {
    let state = await socket.probe()
    if (signal.aborted) return
    if (state === 'gone') {
      if (known !== 'gone') logger.warn('proxy has ended; starting it again')
      state = await start().catch((error: unknown) => {
        if (known !== 'gone') logger.error('proxy cannot be started', { error })
        return 'gone' as const
      })
    }
    if (state === 'silent' && known !== 'silent') logger.error('proxy does not answer; sites may be unreachable')
    const now = typeof state === 'object' ? state.pid : state
    if (typeof now === 'number' && known !== null && now !== known) {
      logger.info('proxy is back', { pid: now })
      if (known === 'silent') await delay(settleMs)
      await onBack(now).catch((error: unknown) => logger.error('proxy could not be brought up to date', { error }))
    }
    known = now
    if (typeof state === 'object') await socket.untilClosed(probeEveryMs, signal)
    else await delay(retryMs, undefined, { signal }).catch(() => undefined)
  }
}
