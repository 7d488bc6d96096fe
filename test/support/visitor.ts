import { get } from './slipway.ts'

/** Somebody who asks for a page all the time, on a new connection each time, from before a fault until after it. */
export interface Visitor {
  /** What was seen so far: how often each answer came, as `200 one`. */
  seen(): Readonly<Record<string, number>>
  /** What was not a good answer so far, with the times (Unix, ms) between which it was waited for. */
  refused(): readonly Refused[]
  /** Ends the visits and tells all that was not a good answer. */
  stop(): Promise<string[]>
}

export interface Refused {
  readonly from: number
  readonly until: number
  readonly answer: string
}

const pauseMs = 15

/** `good` are the bodies that may come, each with status 200. */
export function visit(port: number, host: string, good: readonly string[]): Visitor {
  const seen: Record<string, number> = {}
  const bad: Refused[] = []
  const begun = Date.now()
  let going = true
  const visiting = (async () => {
    while (going) {
      const from = Date.now()
      const answer = await get(port, host, '/', { timeoutMs: 20_000 }).then(
        ({ status, body }) => `${status} ${body.trim()}`,
        (error: unknown) => String(error),
      )
      seen[answer] = (seen[answer] ?? 0) + 1
      if (!good.some((body) => answer === `200 ${body}`)) bad.push({ from, until: Date.now(), answer })
      await new Promise((done) => setTimeout(done, pauseMs))
    }
  })()
  return {
    seen: () => seen,
    refused: () => bad,
    async stop() {
      going = false
      await visiting
      return bad.map(({ until, answer }) => `after ${until - begun} ms: ${answer}`)
    },
  }
}
