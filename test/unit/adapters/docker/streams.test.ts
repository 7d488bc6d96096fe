import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { makeDemuxer } from '../../../../src/adapters/docker/demux.ts'
import { parseListeners } from '../../../../src/adapters/docker/listeners.ts'
import { parseEvent } from '../../../../src/adapters/docker/watch-containers.ts'

function frame(stream: 1 | 2, content: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(content.length, 4)
  return Buffer.concat([header, content])
}

describe('the engine’s stream of both outputs', () => {
  it('is taken apart wherever its chunks are cut', () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(1 as const, 2 as const), fc.uint8Array({ maxLength: 40 })))
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 17 }), (parts, size) => {
        const bytes = Buffer.concat(parts.map(([stream, content]) => frame(stream, Buffer.from(content))))
        const seen: [string, string][] = []
        const demux = makeDemuxer((stream, content) => seen.push([stream, content.toString('hex')]))
        for (let at = 0; at < bytes.length; at += size) demux(bytes.subarray(at, at + size))
        expect(seen).toEqual(
          parts.map(([stream, content]) => [stream === 2 ? 'stderr' : 'stdout', Buffer.from(content).toString('hex')]),
        )
      }),
    )
  })
})

describe('the kernel’s list of sockets', () => {
  const header = '  sl  local_address rem_address   st tx_queue rx_queue\n'
  it('gives those that listen, without the engine’s own name server', () => {
    const tcp = `${header}   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000\n   1: 00000000:0050 00000000:0000 0A 0:0\n   2: 0B00007F:A1B2 00000000:0000 0A 0:0\n   3: 0500D50A:0050 0100D50A:C350 01 0:0\n`
    const tcp6 = `${header}   0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 0:0\n   1: 00000000000000000000000001000000:1389 0:0 0A 0:0\n   2: 0000000000000000FFFF00000100007F:138A 0:0 0A 0:0\n`
    expect(parseListeners(tcp, tcp6)).toEqual([
      { address: '0.0.0.0', port: 80 },
      { address: '::', port: 5000 },
      { address: '::1', port: 5001 },
      { address: '127.0.0.1', port: 5002 },
      { address: '127.0.0.1', port: 8000 },
    ])
  })
})

describe('an event of the engine', () => {
  it('becomes a change with Slipway’s labels only', () => {
    const event = {
      Type: 'container',
      Action: 'die',
      Actor: { ID: 'abc', Attributes: { 'slipway.release': '3', exitCode: '1', name: 'x' } },
    }
    expect(parseEvent(JSON.stringify(event))).toEqual({
      kind: 'died',
      containerId: 'abc',
      labels: { 'slipway.release': '3' },
      exitCode: 1,
    })
    expect(parseEvent(JSON.stringify({ ...event, Action: 'exec_start: ls' }))).toBeNull()
    expect(parseEvent('')).toBeNull()
  })
})
