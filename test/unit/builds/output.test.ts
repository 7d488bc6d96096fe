import { describe, expect, it } from '@jest/globals'
import { makeOutput, type OutputReader } from '../../../src/builds/output.ts'

const small = { keptBytes: 1_000, mostUnread: 10 }
const settled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))])
async function readAll(reader: OutputReader): Promise<{ cut: number; lines: string[] }> {
  const all = { cut: 0, lines: [] as string[] }
  for (let next = await reader.next(); next !== null; next = await reader.next()) {
    all.cut += next.cut
    all.lines.push(...next.lines)
  }
  return all
}

describe('what a build prints', () => {
  it('reaches every reader in its order, also those who come late or after the end', async () => {
    const output = makeOutput()
    const early = readAll(output.read(0))
    for (let n = 0; n < 300; n += 1) output.write(`line ${n}`)
    const late = readAll(output.read(0))
    output.write('last')
    output.end()
    const lines = [...Array.from({ length: 300 }, (_, n) => `line ${n}`), 'last']
    expect(await early).toEqual({ cut: 0, lines })
    expect(await late).toEqual({ cut: 0, lines })
    expect(await readAll(output.read(0))).toEqual({ cut: 0, lines })
    expect(await readAll(output.read(299))).toEqual({ cut: 0, lines: ['line 299', 'last'] })
  })

  it('is kept up to a limit; who comes later hears how much was cut', async () => {
    const output = makeOutput(small)
    for (let n = 0; n < 1_000; n += 1) output.write(`line ${n}`)
    output.end()
    const { cut, lines } = await readAll(output.read(0))
    expect(cut).toBeGreaterThan(900)
    expect(cut + lines.length).toBe(1_000)
    expect(lines[0]).toBe(`line ${cut}`)
    expect(lines.at(-1)).toBe('line 999')
  })

  it('loses nothing for a reader that is slow, and holds up who writes until that has read', async () => {
    const output = makeOutput(small)
    const slow = output.read(0)
    for (let n = 0; n < 100; n += 1) output.write(`line ${n}`)
    const room = output.room()
    expect(await settled(room)).toBe(false)
    expect((await slow.next())?.lines).toHaveLength(100)
    expect(await settled(room)).toBe(true)
  })

  it('is held up by nobody who has gone, and not after its end', async () => {
    const output = makeOutput(small)
    const gone = output.read(0)
    for (let n = 0; n < 100; n += 1) output.write(`line ${n}`)
    const room = output.room()
    gone.close()
    expect(await settled(room)).toBe(true)
    expect(await gone.next()).toBeNull()
    output.read(0)
    output.end()
    expect(await settled(output.room())).toBe(true)
  })

  it('wakes a reader that is closed while it waits', async () => {
    const output = makeOutput()
    const reader = output.read(0)
    const next = reader.next()
    reader.close()
    expect(await next).toBeNull()
  })
})
