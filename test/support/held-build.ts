import type { Spine } from './spine.ts'

/** A build that waits until it is told to go on; a cancel ends it. */
export interface HeldBuild {
  readonly open: () => void
  /** Resolves when a build has begun. */
  readonly reached: Promise<void>
  readonly hook: Spine['onBuild']
}

export function makeHeldBuild(): HeldBuild {
  let open = (): void => undefined
  let reach = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  const reached = new Promise<void>((resolve) => (reach = resolve))
  return {
    open: () => open(),
    reached,
    hook: async (_build, signal) => {
      reach()
      // It may have been cancelled before anybody could listen.
      signal.throwIfAborted()
      await Promise.race([
        opened,
        new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        ),
      ])
    },
  }
}
