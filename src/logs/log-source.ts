/** One log of an environment that is read forward: a journal, or the deploys' log. */
export interface LogSource {
  /** `v12`, `router`, `deploy` */
  readonly name: string
  /** The next line that was read already; undefined when `fill` must look for more. */
  head(): SourceLine | undefined
  /** Looks for more lines; none may be there. */
  fill(): Promise<void>
  /** Goes behind the head. */
  take(): void
  /** Where reading goes on now, as a cursor has it: digits and points. */
  position(): string
}

export interface SourceLine {
  readonly at: string
  /** `web.1`, `router`, `deploy 57` */
  readonly from: string
  /** What else it carries: the release of a router's line. */
  readonly container: string
  /** Safe to print. */
  readonly text: string
}

/** The lines that are there, the oldest first as far as each source is in order; ends when no source has more. */
export async function* mergeSources(sources: readonly LogSource[]): AsyncGenerator<[LogSource, SourceLine]> {
  for (;;) {
    for (const source of sources) if (source.head() === undefined) await source.fill()
    const next = earliest(sources)
    if (next === null) return
    const line = next.head() as SourceLine
    next.take()
    yield [next, line]
  }
}

function earliest(sources: readonly LogSource[]): LogSource | null {
  let found: LogSource | null = null
  let at = ''
  for (const source of sources) {
    const head = source.head()
    if (head === undefined || (found !== null && head.at >= at)) continue
    found = source
    at = head.at
  }
  return found
}
