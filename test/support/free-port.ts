import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A port on which something will listen later, and perhaps again after a restart: below those that the kernel gives to outgoing
 * connections (from 32768 on), any of which could take it in between.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = await new Promise<boolean>((done) => {
    server.once('error', () => done(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => done(true))
  })
  await new Promise((done) => server.close(done))
  return free
}
