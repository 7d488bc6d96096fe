import { get } from './slipway.ts'

/** Somebody who asks for a page all the time, on a new connection each time, from before a fault until after it. */
export interface Visitor {
  /** What was seen so far: how often each answer came, as `200 one`. */
  seen(): Readonly<Record<string, number>>
  /** Ends the visits and tells all that was not a good answer. */
  stop(): Promise<string[]>
}

const pauseMs = 15

/** `good` are the bodies that may come, each with status 200. */
export function visit(port: number, host: string, good: readonly string[]): Visitor {
  const seen: Record<string, number> = {}
  const bad: string[] = []
  const begun = Date.now()
  let going = true
  const visiting = (async () => {
    while (going) {
      const answer = await get(port, host, '/', { timeoutMs: 20_000 }).then(
        ({ status, body }) => `${status} ${body.trim()}`,
        (error: unknown) => String(error),
      )
      seen[answer] = (seen[answer] ?? 0) + 1
      if (!good.some((body) => answer === `200 ${body}`)) bad.push(`after ${Date.now() - begun} ms: ${answer}`)
      await new Promise((done) => setTimeout(done, pauseMs))
    }
  })()
  return {
    seen: () => seen,
    async stop() {
      going = false
      await visiting
      return bad
    },
  }
}
