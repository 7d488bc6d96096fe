import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { readEvents, type StreamEvent } from '../../../src/cli/event-stream.ts'
import { renderEvent } from '../../../src/http/streams.ts'

async function read(chunks: Iterable<string | Uint8Array>): Promise<StreamEvent[]> {
  const events: StreamEvent[] = []
  const bytes = (async function* () {
    for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
  })()
  for await (const event of readEvents(bytes)) events.push(event)
  return events
}

describe('reading events', () => {
  it('fields, comments, CRLF, several data lines, unknown fields', async () => {
    const text =
      'retry: 1000\n\n: ping\n\nid: 7\r\nevent: line\r\ndata: {"a":\r\ndata: 1}\r\n\r\nfoo: bar\ndata:2\n\nevent: lost\n\ndata: 3'
    expect(await read([text])).toEqual([
      { id: '7', event: 'line', data: { a: 1 } },
      { id: null, event: 'message', data: 2 },
    ])
  })

  it('what is no JSON or has no end is refused', async () => {
    await expect(read(['data: {\n\n'])).rejects.toThrow('not JSON')
    await expect(read(Array.from({ length: 30 }, () => 'x'.repeat(50_000)))).rejects.toThrow('without an end')
  })

  it('what the server writes is what the client reads, wherever the bytes are cut', async () => {
    const event = fc.record({ id: fc.nat().map(String), event: fc.constantFrom('line', 'end'), data: fc.jsonValue() })
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), async (events, size) => {
        const bytes = Buffer.from(events.map(renderEvent).join(': ping\n\n'))
        const chunks: Buffer[] = []
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
        expect(await read(chunks)).toEqual(JSON.parse(JSON.stringify(events)))
      }),
      { numRuns: 300 },
    )
  })
})
