import type { Logger } from './logger.ts'

/** Work that nobody waits for now: what fails is told to the log, until the signal fires. */
export interface Background {
  /** @param failed what to say when it fails, e.g. `retiring a release failed` */
  readonly run: (failed: string, work: Promise<unknown>) => void
  /** Resolves when everything that was running when it was called has ended. */
  readonly settled: () => Promise<void>
}

export function makeBackground({ logger, signal }: { logger: Logger; signal: AbortSignal }): Background {
  const running = new Set<Promise<void>>()
  return {
    run(failed, work) {
      const done: Promise<void> = work
        .then(
          () => undefined,
          (error: unknown) => {
            if (!signal.aborted) logger.error(failed, { error })
          },
        )
        .finally(() => running.delete(done))
      running.add(done)
    },
    async settled() {
      await Promise.all(running)
    },
  }
}
