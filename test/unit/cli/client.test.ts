import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { makeClient } from '../../../src/cli/client.ts'
import { exits } from '../../../src/cli/failure.ts'

describe('a server that takes requests and does not answer, as a frozen one', () => {
  let server: Server
  beforeEach(async () => {
    server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  const call = (method: 'GET' | 'POST'): Promise<unknown> => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return makeClient({ origin, token: 'slw_t', version: '1', out: { note: () => undefined }, callMs: 50 }).call(
      method,
      '/apps',
      { name: 'shop' },
    )
  }

  it('is told as one that cannot be reached', async () => {
    await expect(call('GET')).rejects.toMatchObject({
      exit: exits.unreachable,
      message: expect.stringContaining('gave no answer in 0.05 s'),
    })
  })

  it('is told after a while, once, as what is waited for', async () => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const notes: string[] = []
    const note = (text: string): void => void notes.push(text)
    const client = makeClient({ origin, token: 'slw_t', version: '1', out: { note }, slowMs: 20, callMs: 300 })
    await expect(client.call('GET', '/apps')).rejects.toMatchObject({ exit: exits.unreachable })
    expect(notes).toEqual([`${origin} has not answered for 0.02 s; waiting …`])
    server.on('request', (_req, res) => res.setHeader('content-type', 'application/json').end('{}'))
    await client.call('GET', '/apps')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(notes).toHaveLength(1)
  })

  it('leaves open whether a change was made, and says so', async () => {
    await expect(call('POST')).rejects.toMatchObject({
      exit: exits.unreachable,
      hint: expect.stringContaining('Whether it was done is not known'),
    })
  })
})
