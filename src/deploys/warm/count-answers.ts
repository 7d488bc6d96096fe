import { releaseSet, type Router, type Target } from '../../routing/index.ts'
import type { InstanceRecord } from '../instances.ts'
import type { Answers } from './watch.ts'

/** Hears what the proxy says of answers that are errors. */
export interface FailedAnswers {
  /** Those that instances of the set gave, or that the proxy gave in their place because they did not: from now on, until `end`. */
  count(of: { releaseSet: string; targets: readonly string[] }): { read(): number; end(): void }
}

export interface CountedAnswers {
  /** A proxy that does not answer adds nothing. */
  read(): Promise<Answers>
  end(): void
}

/**
 * How the web instances of one deploy answer, from now on. The proxy counts for each what comes to it; a line it writes for errors alone. So
 * neither a page of the proxy's own nor another release of the environment counts.
 */
export function countAnswers(
  { router, failedAnswers }: { readonly router: Pick<Router, 'readUse'>; readonly failedAnswers: FailedAnswers },
  deployId: number,
  instances: readonly Pick<InstanceRecord, 'address' | 'port'>[],
): CountedAnswers {
  const targets = instances.flatMap(({ address, port }): Target[] => (address === null ? [] : [{ address, port }]))
  const failed = failedAnswers.count({
    releaseSet: releaseSet(deployId),
    targets: targets.map(({ address, port }) => `${address}:${port}`),
  })
  const seen = new Map<Target, number>()
  let total = 0
  const look = async (target: Target): Promise<void> => {
    const use = await router.readUse(target).catch(() => null)
    if (use === null) return
    // Fewer than before: the proxy was started again, and all of them came since.
    const before = seen.get(target) ?? use.asked
    total += use.asked < before ? use.asked : use.asked - before
    seen.set(target, use.asked)
  }
  return {
    async read() {
      await Promise.all(targets.map(look))
      return { total: Math.max(total, failed.read()), failed: failed.read() }
    },
    end: () => failed.end(),
  }
}
