import type { RequestLine } from './requests.ts'

/** Whose answers are counted: the instances of a release set. */
interface Answering {
  readonly releaseSet: string
  /** `ip:port` of each. */
  readonly targets: readonly string[]
}

/**
 * The answers that are errors, counted from the proxy's lines, of the instances that somebody asks about. Of those that are not the proxy
 * writes no lines unless all requests are kept.
 */
export function makeFailedAnswers() {
  const asked = new Set<Answering & { readonly sinceMs: number; failed: number }>()
  return {
    add(line: Pick<RequestLine, 'status' | 'at' | 'releaseSet' | 'target' | 'isOwn'>): void {
      const { status, at, releaseSet, target, isOwn } = line
      if (status === null || status < 500 || isOwn) return
      for (const count of asked) {
        const isIts = target === null ? releaseSet === count.releaseSet : count.targets.includes(target)
        if (isIts && at.getTime() >= count.sinceMs) count.failed += 1
      }
    },
    /** From now on, until `end`. */
    count(of: Answering): { read(): number; end(): void } {
      const count = { ...of, sinceMs: Date.now(), failed: 0 }
      asked.add(count)
      return { read: () => count.failed, end: () => void asked.delete(count) }
    },
  }
}

export type FailedAnswers = ReturnType<typeof makeFailedAnswers>
