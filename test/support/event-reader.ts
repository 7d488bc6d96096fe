import { type IncomingMessage, request } from 'node:http'
import { readEvents, type StreamEvent } from '../../src/cli/event-stream.ts'

export interface OpenStream {
  readonly status: number
  readonly type: string
  readonly res: IncomingMessage
  /** Events so far. */
  readonly events: StreamEvent[]
  /** All that came, comments and pings too. */
  readonly bytes: () => string
  /** Resolves when the server has ended it. */
  readonly ended: Promise<void>
  close(): void
}

/** Opens an event stream and collects what comes; with `read: false` nothing is read, like a stalled reader. */
export function openStream(
  url: string,
  options: { token: string; headers?: Record<string, string>; read?: boolean },
): Promise<OpenStream> {
  const { port, host, pathname, search } = new URL(url)
  const headers = {
    host,
    authorization: `Bearer ${options.token}`,
    accept: 'text/event-stream',
    ...options.headers,
  }
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path: pathname + search, headers, agent: false }, (res) => {
      const events: StreamEvent[] = []
      let bytes = ''
      const collect = async (): Promise<void> => {
        const tee = (async function* () {
          for await (const chunk of res as AsyncIterable<Buffer>) {
            bytes += chunk.toString('utf8')
            yield chunk
          }
        })()
        for await (const event of readEvents(tee)) events.push(event)
      }
      const ended = options.read === false ? new Promise<void>((done) => res.once('close', done)) : collect()
      ended.catch(() => undefined)
      resolve({
        status: res.statusCode ?? 0,
        type: res.headers['content-type'] ?? '',
        res,
        events,
        bytes: () => bytes,
        ended,
        close: () => req.destroy(),
      })
    })
    req.on('error', reject)
    req.end()
  })
}
