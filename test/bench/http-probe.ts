import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** One GET on a connection of its own; null when nothing whole comes back. */
export function getOnce(port: number, host: string): Promise<{ status: number; body: string } | null> {
  return new Promise((done) => {
    const req = request({ host: '127.0.0.1', port, headers: { host }, agent: false, timeout: 5_000 }, (res) => {
      let body = ''
      res.setEncoding('utf8')
      res.on('data', (text: string) => (body += text))
      res.on('error', () => done(null))
      res.on('end', () => done({ status: res.statusCode ?? 0, body }))
    })
    req.on('timeout', () => req.destroy())
    req.on('error', () => done(null))
    req.end()
  })
}

export interface Watch {
  /** When this body was answered first, on performance.now()'s scale. */
  readonly seen: Promise<number>
  /** Ends it; how many answers were neither the old body nor the new one. */
  stop(): number
}

/**
 * Asks every 10 ms, from before the change until the new body comes. Both sides of a comparison are asked like this, so that
 * it costs both the same.
 */
export function watchFor(port: number, host: string, body: string): Watch {
  const end = new AbortController()
  let failures = 0
  const ask = async (): Promise<number> => {
    while (!end.signal.aborted) {
      const answer = await getOnce(port, host)
      if (answer?.status === 200 && answer.body.trim() === body) return performance.now()
      if (answer?.status !== 200) failures += 1
      await delay(10)
    }
    throw new Error(`the version ${body} never answered`)
  }
  const seen = ask()
  seen.catch(() => undefined)
  return {
    seen,
    stop() {
      end.abort()
      return failures
    },
  }
}
