import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** Somebody who asks for a page again and again on connections that stay open. */
export interface KeptVisitor {
  /** How many requests were answered on a connection that had been used before. */
  kept(): number
  /** Ends the visits and tells all that was not a good answer. */
  stop(): Promise<string[]>
}

export interface Asked {
  /** As `200 one`, or why there was none. */
  readonly answer: string
  /** Whether the connection had been used before. */
  readonly onKept: boolean
}

const pauseMs = 30
const connections = 4

/**
 * A request that met the end of its connection without a byte of an answer is asked again, as HTTP has clients do: a proxy of 0.1.0 ends
 * them so. `good` are the bodies that may come, each with status 200.
 */
export function visitKept(port: number, host: string, good: readonly string[]): KeptVisitor {
  const bad: string[] = []
  const [begun, agents] = [Date.now(), Array.from({ length: connections }, () => new Agent({ keepAlive: true }))]
  let [going, kept] = [true, 0]
  const visits = agents.map(async (agent) => {
    while (going) {
      let asked = await askOnce(port, host, agent)
      if (asked.onKept && asked.answer === 'ECONNRESET') asked = await askOnce(port, host, new Agent())
      if (asked.onKept) kept += 1
      if (!good.some((body) => asked.answer === `200 ${body}`))
        bad.push(`after ${Date.now() - begun} ms: ${asked.answer}`)
      await delay(Math.random() * pauseMs)
    }
    agent.destroy()
  })
  return {
    kept: () => kept,
    async stop() {
      going = false
      await Promise.all(visits)
      return bad
    },
  }
}

export function askOnce(port: number, host: string, agent: Agent): Promise<Asked> {
  return new Promise((done) => {
    const req = request({ host: '127.0.0.1', port, headers: { host: `${host}:${port}` }, agent, timeout: 20_000 })
    const end = (answer: string): void => done({ answer, onKept: req.reusedSocket })
    req.on('response', (res) => {
      let body = ''
      res.on('data', (chunk: Buffer) => (body += chunk.toString()))
      res.on('error', () => end('broken off'))
      res.on('end', () => end(`${res.statusCode} ${body.trim()}`))
    })
    req.on('timeout', () => req.destroy(new Error('no answer')))
    req.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    req.end()
  })
}
