/** Resolves at the first SIGINT or SIGTERM, or when the signal fires; a second one ends the process at once. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    const onSignal = (): void => {
      if (asked) process.exit(130)
      asked = true
      resolve()
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
