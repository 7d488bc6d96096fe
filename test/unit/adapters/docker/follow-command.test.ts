import { PassThrough } from 'node:stream'
import { describe, expect, it } from '@jest/globals'
import type { Engine } from '../../../../src/adapters/docker/engine.ts'
import { followCommand } from '../../../../src/adapters/docker/follow-command.ts'

function frame(text: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = 1
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

/** Its container has ended; each time its log is asked for comes the next of these. */
function engineWith(logs: readonly (readonly string[])[]): { engine: Engine; asked: () => number } {
  let asked = 0
  const inspected = {
    Id: 'c1',
    Name: '/c1',
    Config: { Labels: {} },
    Created: '2026-01-01T00:00:00Z',
    State: {
      Running: false,
      Status: 'exited',
      ExitCode: 0,
      OOMKilled: false,
      StartedAt: '2026-01-01T00:00:00Z',
      FinishedAt: '2026-01-01T00:00:09Z',
    },
    HostConfig: { RestartPolicy: { Name: 'no' } },
    NetworkSettings: { Networks: {} },
  }
  const call = async (what: string): Promise<unknown> => {
    if (what === 'inspect container') return inspected
    const stream = new PassThrough()
    for (const line of logs[asked++] ?? []) stream.write(frame(line))
    stream.end()
    return stream
  }
  return { engine: { call } as unknown as Engine, asked: () => asked }
}

describe('the output of a command', () => {
  const first = '2026-01-01T00:00:00.000000001Z migrating\n'
  const last = '2026-01-01T00:00:09.000000001Z it failed: no such column\n'

  it('is whole although the engine ended the stream before the last line', async () => {
    const lines: string[] = []
    const { engine } = engineWith([[first], [first, last]])
    const run = { onLine: (line: string) => lines.push(line), timeoutMs: 30_000, signal: new AbortController().signal }
    await followCommand('c1', run, { engine, installation: 't' })
    expect(lines).toEqual(['migrating', 'it failed: no such column'])
  })

  it('has no line twice', async () => {
    const lines: string[] = []
    const { engine, asked } = engineWith([
      [first, last],
      [first, last],
    ])
    const run = { onLine: (line: string) => lines.push(line), timeoutMs: 30_000, signal: new AbortController().signal }
    await followCommand('c1', run, { engine, installation: 't' })
    expect(asked()).toBe(2)
    expect(lines).toEqual(['migrating', 'it failed: no such column'])
  })
})
