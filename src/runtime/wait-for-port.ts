import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { SlipwayError } from '../kernel/errors.ts'

interface Place {
  readonly address: string
  readonly port: number
}

/** A refused connection costs 0.1 ms, so the port is tried often at first: an app that is quick goes live quickly. */
export const firstPauseMs = 10
export const longestPauseMs = 250

/** Resolves when something accepts connections there; throws `timeout` when nothing does within the time. */
export async function waitForPort(place: Place, options: { withinMs: number; signal: AbortSignal }): Promise<void> {
  const deadlineMs = performance.now() + options.withinMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
    const left = Math.max(1, deadlineMs - performance.now())
    const outcome = await tryConnect(place, { timeoutMs: Math.min(5_000, left), signal: options.signal })
    if (outcome === 'open') return
    if (performance.now() >= deadlineMs) {
      throw new SlipwayError('timeout', `Nothing listened on port ${place.port} within ${options.withinMs / 1000} s.`)
    }
    await delay(Math.min(pauseMs, left), undefined, { signal: options.signal })
  }
}

/** One attempt. Rejects only when the signal fires. */
export function tryConnect(
  { address, port }: Place,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<'open' | 'refused' | 'silent'> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, signal })
    const timer = setTimeout(() => end('silent'), timeoutMs)
    function end(outcome: 'open' | 'refused' | 'silent'): void {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    socket.once('connect', () => end('open'))
    socket.on('error', (error) => {
      clearTimeout(timer)
      if (signal.aborted) reject(error)
      else end('refused')
    })
  })
}
