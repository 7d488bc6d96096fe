import { SlipwayError } from './errors.ts'

/** A timer that comes so late says that this process did not run meanwhile. */
const frozenMs = 1_000
const momentMs = 2_000

/**
 * Runs `work` with a time limit: its signal fires when the time is over or the outer signal fires, and the returned promise
 * rejects then, whether or not the work listens. A frozen engine or database hangs instead of failing, so every call to
 * one goes through here or has a limit of its own. When this process was frozen itself the work gets a moment more: what was answered
 * meanwhile is read after the timers have fired.
 */
export async function withTimeout<T>(
  options: { ms: number; what: string; signal?: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const end = (): void =>
    limit.abort(new SlipwayError('timeout', `${options.what} did not answer within ${options.ms / 1000} s.`))
  const dueMs = performance.now() + options.ms
  let timer = setTimeout(() => {
    if (performance.now() - dueMs < frozenMs) end()
    else timer = setTimeout(end, Math.min(options.ms, momentMs))
  }, options.ms)
  const signal = options.signal === undefined ? limit.signal : AbortSignal.any([limit.signal, options.signal])
  try {
    return await Promise.race([work(signal), rejectOnAbort(signal)])
  } finally {
    clearTimeout(timer)
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}
