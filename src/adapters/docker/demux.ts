/**
 * Takes the engine's stream of both outputs apart: frames of an 8-byte header (stream, 0, 0, 0, length) and content. Chunks may
 * be cut anywhere.
 */
export function makeDemuxer(onFrame: (stream: 'stdout' | 'stderr', content: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 8) {
      const end = 8 + rest.readUInt32BE(4)
      if (rest.length < end) return
      onFrame(rest[0] === 2 ? 'stderr' : 'stdout', rest.subarray(8, end))
      rest = rest.subarray(end)
    }
  }
}
