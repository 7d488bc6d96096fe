import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export async function waitFor(
  what: string,
  withinMs: number,
  ready: () => boolean | Promise<boolean>,
  everyMs = 25,
): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await ready())) {
    if (performance.now() > end) throw new Error(`waited ${withinMs / 1000} s for ${what}`)
    await delay(everyMs)
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
