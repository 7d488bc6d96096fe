import { describe, expect, it } from '@jest/globals'
import { parseSentence } from '../../../src/kernel/sentence.ts'

const parse = (text: string): string => parseSentence(text, { what: 'reason', longest: 10 })

describe('a sentence that others are told', () => {
  it.each(['Back at 14', '  trimmed ', 'Größe 日 ❤️'])('may be %j', (text) => {
    expect(parse(text)).toBe(text.trim())
  })

  it.each(['👩\u200d💻 at it', 'می\u200cخواهم', '❤️\u200d🔥', '👩🏽\u200d💻'])(
    'may be spelled with joiners: %j',
    (text) => {
      expect(parse(text)).toBe(text)
    },
  )

  it.each(['a\u200db', 'é\u200d b', '日\u200d\u200d日', '\u200c', '👩\u200d'])('may hide no joiner: %j', (text) => {
    expect(() => parse(`a${text}`)).toThrow('The reason holds')
  })

  it.each([
    '\u0007',
    '\n',
    '\u00ad',
    '\u061c',
    '\u180e',
    '\u200b',
    '\u17b4',
    '\u2028',
    '\u2029',
    '\u202e',
    '\u2066',
    '\u3164',
    '\ufeff',
    '\ufff9',
    '\u{e0041}',
  ])('may not hide %j in it', (char) => {
    expect(() => parse(`a${char}b`)).toThrow('The reason holds line ends or other control characters.')
  })

  it('has a length in characters, and says something', () => {
    expect(parse('😀'.repeat(10))).toHaveLength(20)
    expect(() => parse('😀'.repeat(11))).toThrow('The reason has more than 10 characters.')
    expect(() => parse(' ')).toThrow('The reason is empty.')
    expect(() => parse('a\ud800b')).toThrow('The reason holds')
  })
})
