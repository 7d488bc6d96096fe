import { describe, expect, it } from '@jest/globals'
import { ago, plain, renderFailure, renderTable, toSafeJson } from '../../../src/cli/output.ts'

describe('output', () => {
  it('a table aligns and leaves nothing at line ends', () => {
    expect(
      renderTable([
        ['A', 'LONGER'],
        ['value', 'x'],
        ['b', ''],
      ]),
    ).toEqual(['A      LONGER', 'value  x', 'b'])
  })

  it('foreign text is one line without controls', () => {
    expect(plain('a\tb\nc\r\u001b[31mred\u001b]0;title\u0007\u202e')).toBe('a b^Jc^Mred^[]0;title^G<U+202E>')
    expect(renderFailure({ message: 'no\u001b[2J', hint: undefined })).toBe(' !     no^[[2J\n')
    expect(renderFailure({ message: 'no', hint: 'do' })).toBe(' !     no\n       do\n')
  })

  it('JSON keeps every value and holds no character that a terminal obeys', () => {
    const value = { text: '\u001b]52\u0007 \u009b31m \u202e \u2028 \u007f é 😀' }
    const text = toSafeJson(value, 2)
    expect(JSON.parse(text)).toEqual(value)
    // biome-ignore lint: the characters are the point
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
    expect(text).toContain('é 😀')
  })

  it.each([
    [null, '-'],
    ['nonsense', '-'],
    ['2026-01-01T00:00:00Z', '0 s ago'],
    ['2025-12-31T23:59:01Z', '59 s ago'],
    ['2025-12-31T23:58:01Z', '1 min ago'],
    ['2025-12-31T12:00:00Z', '12 h ago'],
    ['2025-12-01T00:00:00Z', '31 d ago'],
    ['2027-01-01T00:00:00Z', '0 s ago'],
  ])('%s is %s', (iso, text) => {
    expect(ago(iso, Date.parse('2026-01-01T00:00:00Z'))).toBe(text)
  })
})
