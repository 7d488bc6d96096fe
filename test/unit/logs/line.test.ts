import { describe, expect, it } from '@jest/globals'
import { makeLineAssembly } from '../../../src/adapters/docker/instance-logs.ts'
import { decodeCursor, encodeCursor } from '../../../src/logs/cursor.ts'
import { decodeLine, encodeLine } from '../../../src/logs/line.ts'
import { printerOf } from '../../../src/logs/place.ts'
import type { Instance, InstanceLogLine } from '../../../src/runtime/index.ts'

const at = '2026-11-21T10:00:00.123456789Z'

describe('a line of a journal', () => {
  it('comes back as it was put in, safe to print', () => {
    const line = { at, from: 'web.1', container: '3f2a9c1b4d5e', output: 'stderr' as const, text: ' two  blanks ' }
    expect(decodeLine(encodeLine(line))).toEqual(line)
    expect(decodeLine(encodeLine({ ...line, text: 'a\nb\u001b]0;x\u0007' }))?.text).toBe('a^Jb^[]0;x^G')
    expect(decodeLine('torn')).toBeNull()
  })
})

describe('the place to go on from', () => {
  it('comes back as it was', () => {
    const positions = new Map([
      ['v12', '3.1045'],
      ['router', '1.55'],
      ['deploy', '1700000000000000.57.3'],
    ])
    expect(decodeCursor(encodeCursor(at, positions))).toEqual({ at, positions })
  })
  it.each([
    '',
    'x',
    `${at}@../../etc.1`,
    `${at}@deploy.99999999999999999999.1`,
    `${at}@v1.x`,
    `${at}@v1.1@`,
    '2026@v1.1',
    `${'9'.repeat(30)}@v1.1`,
  ])('is refused when it is none: %j', (text) => {
    expect(() => decodeCursor(text)).toThrow('Last-Event-ID')
  })
})

describe('whose lines a container prints', () => {
  const instance = (name: string, labels: Record<string, string>): Instance =>
    ({ name, labels, containerId: '3f2a9c1b4d5e6f' }) as unknown as Instance
  const labels = { 'slipway.app': 'shop', 'slipway.environment': 'test', 'slipway.kind': 'instance' }
  it('is told by labels and name', () => {
    expect(printerOf(instance('slw-default-test--shop-v12-1', labels))).toEqual({
      place: { app: 'shop', environment: 'test', journal: 'v12' },
      from: 'web.1',
      container: '3f2a9c1b4d5e',
    })
    const worker = {
      ...labels,
      ...{
        'slipway.version': 'v3',
        'slipway.process': 'mail_out',
        'slipway.position': '2',
        'slipway.environment': 'my-v1',
      },
    }
    expect(printerOf(instance('slw-default-my-v1--shop-v3-d7-mail_out-2', worker))).toEqual({
      place: { app: 'shop', environment: 'my-v1', journal: 'v3' },
      from: 'mail_out.2',
      container: '3f2a9c1b4d5e',
    })
    const command = instance('slw-default-shop-v3-command-2', { ...labels, 'slipway.kind': 'command' })
    expect(printerOf(command)?.from).toBe('command-2')
    const labelled = { ...command.labels, 'slipway.process': 'release.migrations' }
    expect(printerOf(instance('slw-default-shop-v3-command-2', labelled))?.from).toBe('release.migrations')
  })
  it('names that would lead out of the folder, and builds, are nobody’s', () => {
    expect(printerOf(instance('slw-x-v1-1', { ...labels, 'slipway.version': '../..' }))).toBeNull()
    expect(printerOf(instance('slw-x-v1-1', { ...labels, 'slipway.process': 'a b' }))).toBeNull()
    expect(printerOf(instance('slw-x-v1-1', { ...labels, 'slipway.app': '../..' }))).toBeNull()
    expect(printerOf(instance('slw-x-v1-1', { ...labels, 'slipway.kind': 'build' }))).toBeNull()
    expect(printerOf(instance('stranger', labels))).toBeNull()
  })
})

describe('the engine’s messages', () => {
  const read = (...messages: [InstanceLogLine['output'], string, string][]): string[] => {
    const lines: string[] = []
    const assembly = makeLineAssembly(({ output, text }) => lines.push(`${output}: ${text}`))
    for (const [output, time, text] of messages) assembly.add(output, Buffer.from(`${time} ${text}`))
    assembly.end()
    return lines
  }
  it('are joined to lines, each output for itself', () => {
    expect(
      read(['stdout', at, 'one '], ['stderr', at, 'other\n'], ['stdout', at, 'line\r\n'], ['stdout', at, '1%\r2%\n']),
    ).toEqual(['stderr: other', 'stdout: one line', 'stdout: 2%'])
  })
  it('a line that the engine never ended does not swallow the next', () => {
    expect(read(['stdout', at, 'cut'], ['stdout', at.replace('00.1', '01.1'), 'next\n'])).toEqual([
      'stdout: cut',
      'stdout: next',
    ])
  })
  it('without an end take no more memory than a line may have', () => {
    const [line = ''] = read(
      ...Array.from({ length: 100 }, (): ['stdout', string, string] => ['stdout', at, 'x'.repeat(16_384)]),
    )
    expect(line.length).toBeLessThan(9_000)
  })
})
