import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { LineSplitter, plainLine, sanitizeLine } from '../../../src/kernel/terminal-text.ts'

const esc = '\u001b'

describe('sanitizeLine', () => {
  it.each([
    ['colour passes and is closed', `${esc}[31mred`, `${esc}[31mred${esc}[0m`],
    ['colour that was closed is left alone', `${esc}[31mred${esc}[0m ok`, `${esc}[31mred${esc}[0m ok`],
    ['OSC 52 (clipboard)', `${esc}]52;c;ZXZpbA==\u0007`, '^[]52;c;ZXZpbA==^G'],
    ['OSC 8 (link)', `${esc}]8;;http://x${esc}\\y`, '^[]8;;http://x^[\\y'],
    ['cursor up and erase', `${esc}[1A${esc}[2Kslipway:`, '^[[1A^[[2Kslipway:'],
    ['device control string', `${esc}Pq${esc}\\`, '^[Pq^[\\'],
    ['carriage return', 'a\rslipway: status=live', 'a^Mslipway: status=live'],
    ['C1 controls', '\u009b31m', '<U+009B>31m'],
    ['bidirectional override', 'a\u202eb', 'a<U+202E>b'],
    ['the Arabic mark, which turns text round as well', 'a\u061cb', 'a<U+061C>b'],
    ['what has no width', 'v\u200b1\u2060\u206e\ufffb', 'v<U+200B>1<U+2060><U+206E><U+FFFB>'],
    ['joiners stay', 'می\u200cخواهم 👩\u200d💻', 'می\u200cخواهم 👩\u200d💻'],
    ['null and delete', '\u0000\u007f', '^@^?'],
    ['a tab stays', 'a\tb', 'a\tb'],
    ['a private SGR-like sequence', `${esc}[?25l`, '^[[?25l'],
  ])('%s', (_name, given, expected) => {
    expect(sanitizeLine(given)).toBe(expected)
  })

  it('lets no control byte through but tab and colour, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const rest = sanitizeLine(text).replace(/\u001b\[[0-9;]*m/g, '')
        expect(rest).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
      }),
      { numRuns: 2000 },
    )
  })

  it('cuts a line at 8 KiB and says so', () => {
    const cut = sanitizeLine('é'.repeat(1_000_000))
    expect(Buffer.byteLength(cut)).toBeLessThan(8 * 1024 + 60)
    expect(cut).toMatch(/line cut at 8192 bytes/)
  })

  it('without colour for pages', () => {
    expect(plainLine(`${esc}[1mbold${esc}[0m`)).toBe('bold')
  })
})

describe('LineSplitter', () => {
  const split = (...chunks: (string | Uint8Array)[]): string[] => {
    const lines: string[] = []
    const splitter = new LineSplitter((line) => lines.push(line))
    for (const chunk of chunks) splitter.write(chunk)
    splitter.end()
    return lines
  }

  it('cuts lines across chunks, also in the middle of a character', () => {
    const bytes = Buffer.from('aé\nb')
    expect(split(bytes.subarray(0, 2), bytes.subarray(2))).toEqual(['aé', 'b'])
  })

  it('keeps the last state of a line that redraws itself, and takes \\r\\n as a line end', () => {
    expect(split('10 %\r50 %\r100 %\ndone\r\n')).toEqual(['100 %', 'done'])
  })

  it('gives out a line that never ends', () => {
    const lines = split('x'.repeat(20_000))
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.join('')).toHaveLength(20_000)
  })
})
