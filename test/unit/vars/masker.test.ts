import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { sanitizeLine } from '../../../src/kernel/terminal-text.ts'
import { makeMasker, maskText } from '../../../src/vars/mask/masker.ts'

const secret = 'p@ss w/ord+"é"=='

describe('a masker', () => {
  it('replaces a secret in every form that programs print it in', () => {
    const { mask } = makeMasker([secret])
    const escaped = JSON.stringify(secret).slice(1, -1)
    const forms = [
      secret,
      encodeURIComponent(secret),
      encodeURIComponent(secret).toLowerCase().replace('%c3%a9', '%c3%a9'),
      new URLSearchParams({ q: secret }).toString().slice(2),
      escaped,
      escaped.replace('é', '\\u00e9'),
      escaped.replace('/', '\\/'),
    ]
    for (const form of forms) expect([form, mask(`before ${form} behind`)]).toEqual([form, `before ${maskText} behind`])
  })

  it('finds it in base64 wherever it stands in what was encoded', () => {
    const { mask } = makeMasker([secret])
    for (const before of ['', 'u', 'me', 'you', 'user']) {
      for (const behind of ['', 'x', 'xy', 'xyz']) {
        for (const encoding of ['base64', 'base64url'] as const) {
          const masked = mask(Buffer.from(`${before}${secret}${behind}`).toString(encoding))
          expect(masked).toContain(maskText)
          // What is left are the bits of the neighbours, and less than two bytes of it on either side.
          expect(masked.replace(maskText, '').length).toBeLessThanOrEqual(
            Math.ceil((before.length * 4) / 3) + Math.ceil((behind.length * 4) / 3) + 5,
          )
        }
      }
    }
    expect(mask(`Authorization: Basic ${Buffer.from(`admin:${secret}`).toString('base64')}`)).not.toContain(
      Buffer.from(secret).toString('base64').slice(3, 9),
    )
  })

  it('finds it in base64 that is broken into lines', () => {
    for (const value of ['a secret of many words. '.repeat(12), 'x1'.repeat(57), 'q'.repeat(48)]) {
      const { mask } = makeMasker([value])
      for (const length of [64, 76]) {
        for (const behind of ['', '\n']) {
          const text = Buffer.from(`${value}${behind}`).toString('base64')
          const lines = text.match(new RegExp(`.{1,${length}}`, 'g')) ?? []
          const left = lines.map((line) => mask(line).replace(maskText, ''))
          // A last line that is too short for a mark of its own.
          expect(left.filter((rest) => rest.length > 8)).toEqual([])
        }
      }
    }
  })

  it('leaves nothing of any secret, whatever they are and wherever they stand', () => {
    const letter = fc.constantFrom('a', 'b', 'c', '/', ' ', '\\', '"')
    const secrets = fc.array(fc.string({ unit: letter, minLength: 6, maxLength: 60 }), { minLength: 1, maxLength: 8 })
    const text = fc.string({ unit: letter, maxLength: 80 })
    fc.assert(
      fc.property(
        secrets,
        fc.array(text, { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 4 }),
        (all, texts, picks) => {
          const { mask } = makeMasker(all)
          const whole = texts.map((piece, i) => piece + (all[(picks[i] ?? 0) % all.length] ?? '')).join('')
          const masked = mask(whole)
          for (const one of all) expect(masked.split(maskText).join('\u0000')).not.toContain(one)
          if (!all.some((one) => whole.includes(one.slice(0, 6)))) expect(masked).toBe(whole)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('leaves nothing of secrets that begin alike, however many', () => {
    for (const count of [2, 20, 300]) {
      const all = Array.from(
        { length: count },
        (_, n) => `https://hooks.example.com/services/T0/${n * 7919}/${'xy'.repeat(n % 9)}"&z`,
      )
      const masker = makeMasker(all)
      for (const one of all)
        expect([one, masker.mask(`before ${one} behind`)]).toEqual([one, `before ${maskText} behind`])
      const filler = '.'.repeat(8 * 1024 - 40)
      const line = masker.lines()
      const one = all.at(-1) as string
      expect([line(`${filler}${one.slice(0, 40)}`), line(`${one.slice(40)} behind`)]).toEqual([
        ...[`${filler}${maskText}`, `${maskText} behind`],
      ])
    }
  })

  it('masks on both sides of every place where a long line is cut', () => {
    for (const value of ['short-secret-1', 'a-longer-secret-'.repeat(20)]) {
      for (let inside = 1; inside < value.length; inside += 1) {
        const line = makeMasker([value]).lines()
        const padding = 'x'.repeat(8192 - inside)
        const first = line(padding + value.slice(0, inside))
        const second = line(`${value.slice(inside)} behind`)
        expect(second).toBe(`${maskText} behind`)
        if (inside >= 6) expect(first).toBe(padding + maskText)
      }
    }
    // A whole line is none that was cut.
    const line = makeMasker(['short-secret-1']).lines()
    expect([line('short-se'), line('cret-1')]).toEqual(['short-se', 'cret-1'])
  })

  it('masks each line of a secret that has several, and its form in JSON', () => {
    const pem = '-----BEGIN KEY-----\nMIIEowIBAAKC\nabc\n-----END KEY-----\n'
    const { mask } = makeMasker([pem])
    expect(pem.split('\n').map(mask)).toEqual([maskText, maskText, 'abc', maskText, ''])
    expect(mask(JSON.stringify({ key: pem }))).toBe(`{"key":"${maskText}"}`)
  })

  it('lets be what is too short, and everything when there is nothing', () => {
    expect(makeMasker(['12345', '']).mask('12345')).toBe('12345')
    expect(makeMasker([]).mask('any')).toBe('any')
  })

  it('costs little beside making lines safe to print, and not more for hostile text', () => {
    const secrets = Array.from({ length: 50 }, (_, i) => `sk_live_${i}_${'x7Qw'.repeat(i % 12)}zz${i * 7919}`)
    const line = makeMasker(secrets).lines()
    const lines = Array.from(
      { length: 100_000 },
      (_, i) =>
        `2026-11-21T10:00:00Z INFO request ${i} GET /path/${i}?q=${i * 31} 200 in ${i % 97} ms from 10.0.0.${i % 255}`,
    )
    const timed = (work: (text: string) => string, texts: readonly string[]): number => {
      const begun = performance.now()
      for (const text of texts) work(text)
      return performance.now() - begun
    }
    timed(line, lines) // To be compiled.
    const [own, sanitising] = [timed(line, lines), timed(sanitizeLine, lines)]
    expect(own).toBeLessThan(sanitising * 4 + 200)
    const hostile = makeMasker(Array.from({ length: 50 }, (_, i) => `${'a'.repeat(4_000)}${i}`)).lines()
    expect(
      timed(
        hostile,
        Array.from({ length: 50 }, () => `${'a'.repeat(3_999)}b`.repeat(2)),
      ),
    ).toBeLessThan(2_000)
    // Lines that end where tens of thousands of secrets may go on.
    const alike = makeMasker(Array.from({ length: 30_000 }, (_, i) => `the-same-${i}`)).lines()
    const end = `${'.'.repeat(3_000)}the-same`
    expect(
      timed(
        alike,
        Array.from({ length: 1_000 }, () => end),
      ),
    ).toBeLessThan(2_000)
  })
})
