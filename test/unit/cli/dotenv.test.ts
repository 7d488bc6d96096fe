import { parseEnv } from 'node:util'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { DotenvError, parseDotenv, writeDotenv } from '../../../src/cli/dotenv.ts'

const parse = (text: string): Record<string, string> =>
  Object.fromEntries(parseDotenv(text).map(({ name, value }) => [name, value]))

describe('a .env file', () => {
  it('gives back what was written, byte for byte', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.string({
        unit: fc.constantFrom('"', "'", '`', '\\', '$', '#', '\n', '\r', ' ', '=', 'n', '\t', '\ufeff', '\u2028'),
      }),
    )
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/)
    const pairs = fc.uniqueArray(fc.record({ name, value }), { selector: (pair) => pair.name })
    fc.assert(
      fc.property(pairs, (written) => {
        const text = written.map((pair) => `${writeDotenv(pair)}\n`).join('')
        expect(parseDotenv(text)).toEqual(written)
      }),
      { numRuns: 3_000 },
    )
  })

  it('never takes long and never throws anything else, whatever it holds', () => {
    const piece = fc.constantFrom('A=', 'export ', '"', "'", '\\', '\n', '#', ' ', '=', 'x', '\r\n', '`', '$')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
        try {
          parseDotenv(pieces.join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(DotenvError)
        }
      }),
      { numRuns: 2_000 },
    )
    const begun = performance.now()
    for (const flood of [
      'A=' + ' '.repeat(1e6),
      `A="${'\\'.repeat(1e6)}`,
      ' \t'.repeat(5e5),
      '#'.repeat(1e6),
      `A=x${' '.repeat(5e5)}x`,
      'A= #'.repeat(3e5),
    ]) {
      try {
        parseDotenv(flood)
      } catch (error) {
        expect(error).toBeInstanceOf(DotenvError)
      }
    }
    expect(performance.now() - begun).toBeLessThan(2_000)
  })

  it('is read as other programs read it', () => {
    const text = [
      '# a comment',
      '',
      'PLAIN=value',
      'SPACES =  around it   ',
      'export EXPORTED=yes',
      'EMPTY=',
      'COMMENT=value # said',
      'HASH=a#b',
      "SINGLE='a # \\n b'",
      'DOUBLE="a\\nb # c"  # said',
      "LINES='one",
      "two'",
      'DOLLAR=$HOME and ${HOME}',
      'URL=postgres://u:p@h/db?a=b',
      'JSON={"a":1}',
    ].join('\n')
    const expected = {
      PLAIN: 'value',
      SPACES: 'around it',
      EXPORTED: 'yes',
      EMPTY: '',
      COMMENT: 'value',
      HASH: 'a#b',
      SINGLE: 'a # \\n b',
      DOUBLE: 'a\nb # c',
      LINES: 'one\ntwo',
      DOLLAR: '$HOME and ${HOME}',
      URL: 'postgres://u:p@h/db?a=b',
      JSON: '{"a":1}',
    }
    expect(parse(text)).toEqual(expected)
    // Node takes every # behind an unquoted value for a comment; dotenv does not.
    expect({ ...parseEnv(text), HASH: 'a#b' }).toEqual(expected)
    expect(parse(text.replaceAll('\n', '\r\n'))).toEqual({ ...expected, LINES: 'one\r\ntwo' })
  })

  it('says in which line it cannot be read', () => {
    const cases: [string, number, RegExp][] = [
      ['A=1\nB', 2, /NAME=value/],
      ['A=1\n\n"x"=2', 3, /NAME=value/],
      ["A=1\nB='x\ny", 2, /never closed/],
      ['A="x" y', 1, /behind the closing/],
      ['=x', 1, /NAME=value/],
    ]
    for (const [text, line, message] of cases) {
      expect(() => parseDotenv(text)).toThrow(message)
      try {
        parseDotenv(text)
      } catch (error) {
        expect((error as DotenvError).line).toBe(line)
      }
    }
  })
})
