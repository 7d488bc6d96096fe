import { describe, expect, it } from '@jest/globals'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { maskText } from '../../../src/vars/mask/masker.ts'
import { makeMasks, type Masks } from '../../../src/vars/mask/masks.ts'

const environment = 7

function newMasks(there: { secrets?: string[]; inUse?: () => string[] } = {}): Masks {
  return makeMasks({
    ofEnvironment: () => Promise.resolve(there.secrets ?? []),
    ofRelease: () => Promise.resolve(null),
    inUse: () => Promise.resolve(there.inUse?.() ?? []),
  })
}

/** Distinct, and short: as many lines as an environment can have. */
function manyLines(count: number, mark: string): string[] {
  const line = (n: number): string => `${mark}${n.toString(36).padStart(5, '0')}`
  const all = Array.from({ length: count }, (_, n) => line(n))
  return Array.from({ length: Math.ceil(count / 9_000) }, (_, i) => all.slice(i * 9_000, (i + 1) * 9_000).join('\n'))
}

/** The longest time in which nobody else had a turn. */
async function longestTurnMs(work: Promise<unknown>): Promise<number> {
  let isOver = false
  void work.finally(() => (isOver = true))
  let longestMs = 0
  for (let lastMs = performance.now(); !isOver; lastMs = performance.now()) {
    await nextTurn()
    longestMs = Math.max(longestMs, performance.now() - lastMs)
  }
  return longestMs
}

describe('masks', () => {
  it('know a secret, wherever they were opened, when adding it is done', async () => {
    const masks = newMasks({ secrets: ['the-first-secret'] })
    const masker = await masks.ofEnvironment(environment)
    const line = masker.lines()
    await Promise.all([
      masks.add(environment, ['the-second-secret']),
      masks.add(environment, manyLines(70_000, 'x')),
      masks.add(environment, ['the-third-secret']),
    ])
    for (const secret of ['the-first-secret', 'the-second-secret', 'the-third-secret', 'x00000', 'x01hrj'])
      expect([masker.mask(`(${secret})`), line(`(${secret})`)]).toEqual([`(${maskText})`, `(${maskText})`])
  })

  it('hold nobody up while they learn tens of thousands of lines', async () => {
    const masks = newMasks()
    const begunMs = performance.now()
    const longestMs = await longestTurnMs(masks.add(environment, manyLines(75_000, 'y')))
    const tookMs = performance.now() - begunMs
    expect(longestMs).toBeLessThan(Math.max(150, tookMs / 3))
  })

  it('go on in the middle of a secret when another one is learned there', async () => {
    const long = 'part-of-a-long-secret/'.repeat(1_500)
    for (const inside of [5, 30, 8_000]) {
      const masks = newMasks({ secrets: [long] })
      const line = (await masks.ofEnvironment(environment)).lines()
      const padding = '.'.repeat(8192 - inside)
      line(padding + long.slice(0, inside))
      await masks.add(environment, ['another-secret-1'])
      const second = line(long.slice(inside, inside + 8192))
      await masks.add(environment, ['another-secret-2'])
      expect([second, line(`${long.slice(inside + 8192)} another-secret-2`)]).toEqual([
        maskText,
        `${maskText} ${maskText}`,
      ])
    }
  })

  it('forget what is in use nowhere, when there is too much of it', async () => {
    const used = ['secret-of-an-old-release']
    const masks = newMasks({ inUse: () => used })
    const masker = await masks.ofEnvironment(environment)
    await masks.add(environment, [...used, 'secret-that-was-changed'])
    const now = performance.now.bind(performance)
    performance.now = () => now() + 3 * 60_000
    try {
      for (let i = 0; i < 17; i += 1) await masks.add(environment, [`${i}`.padEnd(64 * 1024, 'x')])
    } finally {
      performance.now = now
    }
    expect(masker.mask('secret-of-an-old-release')).toBe(maskText)
    expect(masker.mask('secret-that-was-changed')).toBe('secret-that-was-changed')
    expect(masker.mask('16'.padEnd(64 * 1024, 'x'))).toBe(maskText)
  })
})
