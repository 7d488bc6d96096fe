import { rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'

/** Stands before a Unix socket: what comes back from it is delayed, held, or cut. */
export interface SlowSocket {
  readonly path: string
  /** From now on each piece of an answer comes this much later. */
  delay(ms: number): void
  /** Breaks all connections that are open. */
  cut(): void
  close(): Promise<void>
}

export async function makeSlowSocket(path: string, target: string): Promise<SlowSocket> {
  let delayMs = 0
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const onward = connect({ path: target, allowHalfOpen: true })
    for (const socket of [client, onward]) {
      open.add(socket)
      socket.on('close', () => open.delete(socket))
    }
    client.on('error', () => onward.destroy())
    onward.on('error', () => client.destroy())
    client.on('close', () => onward.destroy())
    client.pipe(onward)
    // In order, because all of a connection's pieces wait on the one before.
    let last: Promise<void> = Promise.resolve()
    const later = (work: () => void): void => {
      const due = delayMs
      last = last.then(() => (due === 0 ? undefined : new Promise<void>((done) => setTimeout(done, due)))).then(work)
    }
    onward.on('data', (chunk: Buffer) => later(() => void (client.destroyed || client.write(chunk))))
    onward.on('end', () => later(() => void client.end()))
  })
  await new Promise<void>((done) => server.listen(path, done))
  const cut = (): void => open.forEach((socket) => void socket.destroy())
  return {
    path,
    delay: (ms) => void (delayMs = ms),
    cut,
    async close() {
      server.close()
      cut()
      await rm(path, { force: true })
    },
  }
}
