import { describe, expect, it } from '@jest/globals'
import {
  chunkBytes,
  decodeContent,
  encodeContent,
  makeReceiveWindow,
  makeSendWindow,
  readClientMessage,
  readServerMessage,
  sendContent,
  windowBytes,
} from '../../../src/kernel/attachment.ts'

describe('content', () => {
  it('goes behind the byte of its channel, also when it is empty', () => {
    for (const channel of ['stdin', 'stdout', 'stderr'] as const) {
      expect(decodeContent(encodeContent(channel, Buffer.from('a\u0000b')))).toEqual({
        channel,
        content: Buffer.from('a\u0000b'),
      })
    }
    expect(encodeContent('stderr', Buffer.alloc(0))).toEqual(Buffer.of(2))
  })

  it('of no known channel is none', () => {
    for (const message of [Buffer.alloc(0), Buffer.of(3, 65), Buffer.of(255)]) expect(decodeContent(message)).toBeNull()
  })
})

describe('what a client says', () => {
  it.each([
    ['{"type":"end"}', { type: 'end' }],
    ['{"type":"signal","name":"SIGINT"}', { type: 'signal', name: 'SIGINT' }],
    ['{"type":"size","columns":80,"rows":24,"more":1}', { type: 'size', columns: 80, rows: 24 }],
    ['{"type":"more","bytes":1}', { type: 'more', bytes: 1 }],
  ])('%s', (text, said) => expect(readClientMessage(text)).toEqual(said))

  it.each([
    '',
    'null',
    '[]',
    '{',
    '{"type":"exit"}',
    '{"type":"signal","name":"SIGKILL"}',
    '{"type":"signal","name":9}',
    '{"type":"size","columns":0,"rows":24}',
    '{"type":"size","columns":80.5,"rows":24}',
    '{"type":"size","columns":80,"rows":100000}',
    '{"type":"more","bytes":-1}',
    `{"type":"more","bytes":${windowBytes + 1}}`,
  ])('nothing: %s', (text) => expect(readClientMessage(text)).toBeNull())
})

describe('what a server says', () => {
  it('is read, and what is not known is passed over', () => {
    expect(readServerMessage('{"type":"exit","exitCode":3,"outOfMemory":true}')).toEqual({
      type: 'exit',
      exitCode: 3,
      outOfMemory: true,
    })
    expect(readServerMessage('{"type":"failed","code":"conflict","detail":"No."}')).toEqual({
      type: 'failed',
      code: 'conflict',
      detail: 'No.',
    })
    for (const text of ['{"type":"exit"}', '{"type":"failed","code":1}', '{"type":"hello"}', 'x'])
      expect(readServerMessage(text)).toBeNull()
  })
})

describe('the window', () => {
  it('lets so much pass and no more, until the other side has used it', async () => {
    const sending = makeSendWindow()
    const receiving = makeReceiveWindow()
    const wire: Buffer[] = []
    const content = Buffer.alloc(3 * windowBytes + 7, 'x')
    let isDone = false
    const sent = sendContent(
      content,
      sending,
      (chunk) => wire.push(chunk),
      () => false,
    ).then((all) => {
      isDone = true
      return all
    })
    const size = (): number => wire.reduce((sum, chunk) => sum + chunk.length, 0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(size()).toBe(windowBytes)
    expect(Math.max(...wire.map((chunk) => chunk.length))).toBe(chunkBytes)

    let at = 0
    let told = 0
    while (!isDone) {
      for (; at < wire.length; at++) {
        const bytes = wire[at]?.length ?? 0
        expect(receiving.came(bytes)).toBe(true)
        const more = receiving.used(bytes)
        if (more > 0) told += 1
        sending.give(more)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await sent).toBe(true)
    expect(size()).toBe(content.length)
    // Not one answer for each chunk.
    expect(told).toBeLessThanOrEqual(12)
  })

  it('tells who sends more than there is room for', () => {
    const receiving = makeReceiveWindow()
    expect(receiving.came(windowBytes)).toBe(true)
    expect(receiving.came(1)).toBe(false)
  })

  it('lets go of who waits when it is closed', async () => {
    const sending = makeSendWindow()
    let isOver = false
    const sent = sendContent(
      Buffer.alloc(windowBytes + 1),
      sending,
      () => undefined,
      () => isOver,
    )
    isOver = true
    sending.close()
    expect(await sent).toBe(false)
  })
})
