/** A request that the proxy has answered, or refused. */
export interface RequestLine {
  /** The proxy's process, and its count of lines: a gap in it is lines that were lost. */
  readonly process: number
  readonly number: number
  /** Another for each request of that process; two that end at once may be given the same `number`. */
  readonly serial: number
  /** When the request began. */
  readonly at: Date
  readonly durationMs: number
  /** null: the client went away before there was one. */
  readonly status: number | null
  readonly bytes: number
  readonly method: string
  /** Without its query, which may hold secrets. */
  readonly path: string
  /** It was longer than is told. */
  readonly isPathCut: boolean
  /** Why it ended, when not in order. */
  readonly ending: string | null
  /** Which route it took: `e7` an environment's, `r12` a release's own, `w7` one's that does not run; null for none. */
  readonly routeKey: string | null
  /** The release set that answered (`r12`), where the proxy knows it. */
  readonly releaseSet: string | null
  /** `ip:port` of the instance, where the proxy knows it. */
  readonly target: string | null
  /** The proxy answered by itself, as with a page that says the site is being worked on: no instance was asked. */
  readonly isOwn: boolean
}

/** The proxy's own memory of its newest requests. It is never held up by whoever reads, and loses the oldest first. */
export interface RequestFeed {
  /**
   * Calls back with what it remembers and then with what comes, some at a time, in order; waits for each callback. After a
   * break it begins again with all that it remembers. Ends with the signal.
   */
  follow(onLines: (lines: readonly RequestLine[]) => Promise<void>, signal: AbortSignal): Promise<void>
}
